"""`c3d-worker requeue`: by ids, all that failed, all that were migrated."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.integration.command_line import command
from tests.integration.harness import Harness
from tests.integration.queue_calls import MAX_ATTEMPTS, add, claim, row, technical_row
from tests.integration.uploads import RECORDING

MANY = 2500  # more than two calls take


async def failed(harness: Harness, code: str = "c3d_truncated") -> UUID:
    return await add(
        harness.database,
        processing_status="failed",
        processing_attempts=MAX_ATTEMPTS,
        processing_due_at=None,
        processing_error=f"{code}: It is wrong.",
    )


async def migrated(harness: Harness, **values: str) -> UUID:
    session = await add(
        harness.database, processing_status="completed", hash_measured_at=None, **values
    )
    await harness.database.execute(
        "insert into public.c3d_technical_data (session_id, sampling_rate, extracted_at) "
        "values ($1, 33, null)",
        session,
    )
    return session


async def status(harness: Harness, session: UUID) -> str:
    return str((await row(harness.database, session))["processing_status"])


async def test_named_sessions_are_requeued_and_each_is_answered(
    harness: Harness, tmp_path: Path
) -> None:
    one, other, unknown = await failed(harness), await failed(harness), uuid4()
    ids = [str(session) for session in (one, other, unknown)]
    code, printed, _ = await command(
        harness.stack, tmp_path, "requeue", *ids, "--reason", "[a] reason"
    )
    assert code == 1
    assert printed.splitlines() == [
        f"{one}: pending, read within 30 s by a worker that is free",
        f"{other}: pending, read within 30 s by a worker that is free",
        f"{unknown}: missing, no session has this id",
        "2 of 3 sessions are pending.",
    ]
    found = await row(harness.database, one)
    assert (found["processing_status"], found["processing_attempts"]) == ("pending", 0)
    assert found["processing_error"] == "requeued: [a] reason"


async def test_a_session_is_named_as_for_show(harness: Harness, tmp_path: Path) -> None:
    session = await failed(harness)
    path = (await row(harness.database, session))["file_path"]
    code, printed, _ = await command(harness.stack, tmp_path, "requeue", path)
    assert (code, printed.split(",")[0]) == (0, f"{session}: pending")
    code, printed, said = await command(harness.stack, tmp_path, "requeue", path, "no-such.c3d")
    assert (code, printed) == (2, "")
    assert said.startswith("session_unknown: There is no session 'no-such.c3d'")


async def test_running_ones_are_refused_and_completed_ones_unless_forced(
    harness: Harness, tmp_path: Path
) -> None:
    running = await add(harness.database)
    await claim(harness.database, uuid4())
    completed = await migrated(harness)
    ids = (str(running), str(completed))
    _, printed, _ = await command(harness.stack, tmp_path, "requeue", *ids)
    assert printed.count("refused") == 2
    code, printed, _ = await command(harness.stack, tmp_path, "requeue", *ids, "--force")
    assert code == 1
    assert [line.split(": ")[1].split(",")[0] for line in printed.splitlines()[:2]] == [
        "refused",
        "pending",
    ]


async def test_all_that_failed_are_requeued_and_nothing_else(
    harness: Harness, tmp_path: Path
) -> None:
    sessions = [await failed(harness), await failed(harness, "object_missing")]
    others = [
        await migrated(harness),
        await add(harness.database, processing_status="skipped"),
    ]
    before = [await row(harness.database, session) for session in others]
    code, printed, _ = await command(harness.stack, tmp_path, "requeue", "--failed")
    assert (code, printed) == (0, "2 failed sessions requeued.\n")
    assert [await status(harness, session) for session in sessions] == ["pending"] * 2
    assert [await row(harness.database, session) for session in others] == before
    assert await claim(harness.database, uuid4())


async def test_a_code_picks_those_that_failed_of_it(harness: Harness, tmp_path: Path) -> None:
    truncated, missing = await failed(harness), await failed(harness, "object_missing")
    arguments = ("requeue", "--failed", "--code", "c3d_truncated")
    _, printed, _ = await command(harness.stack, tmp_path, *arguments, "--dry-run")
    assert printed == "1 failed session of c3d_truncated would be requeued.\n"
    assert await status(harness, truncated) == "failed"
    _, printed, _ = await command(harness.stack, tmp_path, *arguments)
    assert printed == "1 failed session of c3d_truncated requeued.\n"
    assert (await status(harness, truncated), await status(harness, missing)) == (
        "pending",
        "failed",
    )


async def test_those_without_a_code_are_called_unknown(harness: Harness, tmp_path: Path) -> None:
    legacy = await add(harness.database, processing_status="failed")
    await failed(harness)
    arguments = ("requeue", "--failed", "--code", "unknown")
    _, printed, _ = await command(harness.stack, tmp_path, *arguments)
    assert printed.startswith("1 failed session ")
    assert await status(harness, legacy) == "pending"


async def test_a_code_that_nothing_has_is_a_mistake_that_names_those_like_it(
    harness: Harness, tmp_path: Path
) -> None:
    await failed(harness, "code_of_another_program")
    arguments = ("requeue", "--failed", "--code")
    for wrong, meant in (("c3d_truncate", "is c3d_truncated"), ("workerdied", "is worker_died")):
        code, printed, complained = await command(harness.stack, tmp_path, *arguments, wrong)
        assert (code, printed) == (2, "")
        assert f"Nothing to try again has the error code {wrong!r}: {meant}" in complained
    code, _, complained = await command(harness.stack, tmp_path, *arguments, "qqq", "--dry-run")
    assert code == 2
    assert "meant" not in complained
    code, printed, _ = await command(harness.stack, tmp_path, *arguments, "file_too_large")
    assert (code, printed) == (0, "0 failed sessions of file_too_large requeued.\n")
    code, printed, _ = await command(harness.stack, tmp_path, *arguments, "code_of_another_program")
    assert (code, printed) == (0, "1 failed session of code_of_another_program requeued.\n")


async def test_migrated_sessions_with_a_c3d_are_requeued(harness: Harness, tmp_path: Path) -> None:
    old = await migrated(harness)
    renamed = await migrated(harness, file_path="P005/blob-17", original_filename="a.C3D")
    table = await migrated(harness, file_path="P005/a.csv", original_filename="a.csv")
    read = await migrated(harness)
    await harness.database.execute(
        "update public.therapy_sessions set hash_measured_at = now() where id = $1", read
    )
    code, printed, _ = await command(harness.stack, tmp_path, "requeue", "--migrated")
    assert (code, printed) == (0, "2 migrated sessions requeued.\n")
    for session, expected in (
        (old, "pending"),
        (renamed, "pending"),
        (table, "completed"),
        (read, "completed"),
    ):
        assert await status(harness, session) == expected


async def test_old_values_stay_where_reading_fails_and_give_way_where_it_succeeds(
    harness: Harness, tmp_path: Path
) -> None:
    good, bad = await harness.session(RECORDING), await harness.session(b"no recording")
    await harness.database.execute(
        "update public.therapy_sessions set processing_status = 'completed';"
        "update public.therapy_sessions set hash_measured_at = null"
    )
    await harness.database.execute(
        "insert into public.c3d_technical_data (session_id, sampling_rate, extracted_at) "
        "select id, 25, null from public.therapy_sessions"
    )
    await command(harness.stack, tmp_path, "requeue", "--migrated")
    async with harness.worker(tmp_path, POLL_SECONDS="1"):
        await harness.until_done([good, bad])
    assert (await status(harness, good), await status(harness, bad)) == ("completed", "failed")
    read, kept = [await technical_row(harness.database, session) for session in (good, bad)]
    assert read is not None
    assert kept is not None
    assert (read["sampling_rate"], kept["sampling_rate"]) == (33.0, 25.0)
    assert (read["extracted_at"] is None, kept["extracted_at"]) == (False, None)
    assert kept["frame_count"] is None


async def test_thousands_are_requeued_each_once(harness: Harness, tmp_path: Path) -> None:
    await harness.database.execute(
        """
        insert into public.therapy_sessions (
          file_path, file_hash, file_size_bytes, original_filename,
          processing_status, processing_error
        )
        select 'P005/' || n || '.c3d', 'hash ' || n, 1, n || '.c3d', 'failed', 'rejected: No.'
        from generate_series(1, $1) as n
        """,
        MANY,
    )
    _, printed, _ = await command(harness.stack, tmp_path, "requeue", "--failed", "--dry-run")
    assert printed == f"{MANY:,} failed sessions would be requeued.\n"
    _, printed, _ = await command(harness.stack, tmp_path, "requeue", "--failed")
    assert printed == f"{MANY:,} failed sessions requeued.\n"
    assert await harness.counts() == {"pending": MANY}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--failed", "--migrated"),
        ("--failed", str(uuid4())),
        ("--migrated", "--code", "rejected"),
        ("--failed", "--force"),
        ("--dry-run", str(uuid4())),
    ],
)
async def test_a_contradictory_call_changes_nothing(
    harness: Harness, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    session = await failed(harness)
    code, printed, complained = await command(harness.stack, tmp_path, "requeue", *arguments)
    assert (code, printed) == (2, "")
    assert "Usage" in complained
    assert await status(harness, session) == "failed"
