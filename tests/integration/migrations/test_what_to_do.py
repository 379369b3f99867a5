"""What the overviews tell a person to do is true for each code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.integration.databases import Connection
from tests.integration.queue_calls import add

UNREADABLE = "c3d_truncated: The file was cut off: upload the complete file again."
NOW = datetime.now(UTC)
REQUEUE = "c3d-worker requeue"


async def failed(database: Connection, error: str | None = UNREADABLE, **values: Any) -> UUID:
    """Insert a failed session."""
    return await add(database, processing_status="failed", processing_error=error, **values)


async def completed(database: Connection, **values: Any) -> UUID:
    """Insert a session that was read, an hour after those that failed."""
    return await add(
        database,
        **{"processing_status": "completed", "created_at": NOW + timedelta(hours=1), **values},
    )


async def told(database: Connection, session: UUID) -> str | None:
    """Return what the overview tells a person to do about a session."""
    said: str | None = await database.fetchval(
        "select what_to_do from session_overview where session_id = $1", session
    )
    return said


@pytest.mark.parametrize(
    "code",
    ["not_c3d", "unsupported", "truncated", "unfinished", "contradictory", "unreadable"],
)
async def test_a_file_that_can_never_be_read_is_not_to_be_requeued(
    database: Connection, code: str
) -> None:
    said = await told(database, await failed(database, f"c3d_{code}: So it is."))
    assert said == (
        f"c3d_{code}: So it is. "
        "This file stays unreadable, so do not requeue it: upload a better one."
    )


@pytest.mark.parametrize("code", ["size_mismatch", "hash_mismatch", "object_refused"])
async def test_an_object_that_is_not_its_recording_any_more_has_its_cure_in_its_sentence(
    database: Connection, code: str
) -> None:
    error = f"{code}: So it is. Upload the file again."
    assert await told(database, await failed(database, error)) == error


@pytest.mark.parametrize(
    ("error", "when"),
    [
        ("c3d_too_costly: So.", "Once a limit is raised: "),
        ("file_too_large: So.", "Once that is cured: "),
        ("rejected: So.", "Once that is cured: "),
        ("worker_died: So.", "Once that is cured: "),
        ("object_missing: So.", "once file_path is corrected: "),
        (None, "To have it read: "),
    ],
)
async def test_another_attempt_is_named_where_it_helps_and_after_what(
    database: Connection, error: str | None, when: str
) -> None:
    session = await failed(database, error)
    said = await told(database, session)
    assert said is not None
    assert said.endswith(f"{when}{REQUEUE} {session}")


async def test_a_later_upload_to_the_path_supersedes_a_failed_session(
    database: Connection,
) -> None:
    session = await failed(database, file_path="P005/a.c3d", created_at=NOW)
    await completed(database, file_path="P005/a.c3d", created_at=NOW - timedelta(hours=1))
    await add(database, file_path="P005/a.c3d", created_at=NOW + timedelta(hours=2))
    assert "upload a better one" in (await told(database, session) or "")
    better = await completed(database, file_path="P005/a.c3d")
    said = await told(database, session) or ""
    assert said.startswith(f"Superseded by session {better}, a later upload to this path")
    assert said.endswith(UNREADABLE)
    assert REQUEUE not in said


async def test_a_later_upload_of_the_patient_may_supersede_a_failed_session(
    database: Connection,
) -> None:
    session = await failed(database, patient_id="P005", created_at=NOW)
    await completed(database, patient_id="P006")
    await completed(database, patient_id="P005", created_at=NOW + timedelta(days=2))
    assert "superseded" not in (await told(database, session) or "")
    better = await completed(database, patient_id="P005")
    said = await told(database, session) or ""
    assert said.startswith(f"{UNREADABLE} This file stays unreadable")
    assert f"If session {better}, a later upload of the same patient" in said


async def test_a_waiting_session_says_for_what_and_since_when(database: Connection) -> None:
    since = datetime(2026, 11, 3, 8, 5, tzinfo=UTC)
    session = await add(
        database,
        processing_error="object_missing: No such file.",
        processing_queued_at=since,
        processing_due_at=NOW + timedelta(hours=1),
    )
    assert await told(database, session) == (
        "object_missing: No such file. Waiting since 2026-11-03 08:05 UTC."
    )
    await database.execute("update therapy_sessions set processing_due_at = now() - interval '1 h'")
    assert await told(database, session) == (
        "Is a worker running? Start one with `c3d-worker run`; it claims this session by itself. "
        "Waiting since 2026-11-03 08:05 UTC. object_missing: No such file."
    )


async def test_a_completed_session_without_a_patient_says_so(database: Connection) -> None:
    nobodys = await completed(database)
    assert (await told(database, nobodys) or "").startswith("It has no patient")
    unknown = await completed(database, patient_code="P012")
    assert await told(database, unknown) == (
        "Its patient P012 is not entered yet, and is filled in by itself."
    )
    assert await told(database, await completed(database, patient_id="P005")) is None


async def test_what_a_later_upload_superseded_is_not_requeued_with_the_others(
    database: Connection,
) -> None:
    superseded = await failed(database, file_path="P005/a.c3d", created_at=NOW)
    await completed(database, file_path="P005/a.c3d")
    await failed(database, "worker_died: So.")
    requeued = "select requeued from requeue_sessions('failed', 'why', dry_run => $1)"
    for dry_run in (True, False):
        assert await database.fetchval(requeued, dry_run) == 1
    assert (await told(database, superseded) or "").endswith(UNREADABLE)
