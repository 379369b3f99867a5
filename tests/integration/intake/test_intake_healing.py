"""Sending a file again heals a session whose object was missing or changed."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from tests.integration.harness import Harness
from tests.integration.uploads import (
    NEVER,
    RECORDING,
    numbered,
    object_of,
    sessions,
    settings_of,
    sweep_of,
)
from worker.intake.factory import make_intake
from worker.settings import DEFAULT_BUCKET


async def fail(harness: Harness, session: UUID, code: str) -> None:
    """Let the session have failed."""
    await harness.database.execute(
        "update therapy_sessions set processing_status = 'failed', processing_attempts = 5,"
        " processing_error = $2 || ': What was wrong.' where id = $1",
        session,
        code,
    )


@pytest.mark.parametrize("code", ["object_missing", "size_mismatch", "hash_mismatch"])
async def test_a_session_that_failed_for_want_of_its_object_is_read_from_the_new_one(
    harness: Harness, tmp_path: Path, code: str
) -> None:
    session = await harness.session(RECORDING, uploaded=False, size=1)
    await fail(harness, session, code)
    path = await harness.upload(RECORDING, "P005/again.c3d")
    woken: list[None] = []
    settings = settings_of(harness.stack)
    intake = make_intake(harness.connection, settings, lambda: woken.append(None))
    taken = await intake.take_now(await object_of(harness, path))
    assert taken is not None
    assert taken.session == session
    assert woken == [None]
    row = await harness.row(session)
    assert row["processing_status"] == "pending"
    assert (row["file_path"], row["file_size_bytes"]) == (path, len(RECORDING))
    assert (row["processing_attempts"], row["cache_hits"]) == (0, 1)
    async with harness.worker(tmp_path, POLL_SECONDS=NEVER):
        row = await harness.until(session, "completed", "failed")
    assert row["processing_status"] == "completed"


@pytest.mark.parametrize("code", ["c3d_truncated", "worker_died"])
async def test_a_session_that_failed_for_what_is_in_its_file_stays_failed(
    harness: Harness, code: str
) -> None:
    session = await harness.session(RECORDING, path="P005/a.c3d")
    await fail(harness, session, code)
    await harness.upload(RECORDING, "P005/b.c3d")
    await sweep_of(harness).sweep()
    row = await harness.row(session)
    assert row["processing_status"] == "failed"
    assert row["file_path"] == "P005/a.c3d"


async def test_a_waiting_session_whose_object_is_gone_follows_its_recording(
    harness: Harness, tmp_path: Path
) -> None:
    session = await harness.session(RECORDING, path="P005/a.c3d")
    bucket = harness.connection.supabase.storage.from_(DEFAULT_BUCKET)
    await bucket.move("P005/a.c3d", "P005/b.c3d")
    await sweep_of(harness).sweep()
    assert (await harness.row(session))["file_path"] == "P005/b.c3d"
    async with harness.worker(tmp_path):
        row = await harness.until(session, "completed", "failed")
    assert row["processing_status"] == "completed"


async def test_a_session_with_a_healthy_object_of_its_own_keeps_it(harness: Harness) -> None:
    await harness.upload(numbered(1), "P005/a.c3d")
    await harness.upload(numbered(1), "P005/b.c3d")
    await sweep_of(harness).sweep()
    (session,) = await sessions(harness)
    assert session["file_path"] in {"P005/a.c3d", "P005/b.c3d"}
    await harness.upload(numbered(1), "P005/c.c3d")
    await sweep_of(harness).sweep()
    assert (await sessions(harness))[0]["file_path"] == session["file_path"]
