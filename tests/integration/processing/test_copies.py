"""A session whose object was deleted is read from a copy of it, where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.integration.harness import Harness
from tests.integration.uploads import RECORDING, numbered, overwrite, sessions, sweep_of
from worker.local.worker_process import WorkerProcess

ORIGINAL, COPY = "P005/a.c3d", "P005/again.c3d"
FIND = f"select public.find_copy($1, $2, $3, '{ORIGINAL}')"
CLAIM = """
update public.therapy_sessions
set processing_status = 'processing', processing_claim = $1,
  processing_due_at = now() + interval '1 minute', processing_attempts = 1
"""


async def copied(harness: Harness, copy: str = COPY) -> UUID:
    """Have a recording and its copy taken in, then the recording deleted; return its session."""
    for path in (ORIGINAL, copy):
        await harness.upload(RECORDING, path)
        await sweep_of(harness).sweep()
    await delete(harness, ORIGINAL)
    (session,) = await sessions(harness)
    assert session["file_path"] == ORIGINAL
    return UUID(str(session["id"]))


async def delete(harness: Harness, path: str) -> None:
    """Delete an object."""
    await harness.connection.supabase.storage.from_(harness.bucket).remove([path])


async def events(worker: WorkerProcess) -> list[str]:
    """The names of what the worker says until it is done with a session."""
    return [each["event"] async for each in worker.follow(until="session_done")]


async def processed(harness: Harness, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Have the only session processed, once; return its row and the worker's events."""
    async with harness.worker(folder, MAX_ATTEMPTS="1") as worker:
        said = await events(worker)
    (row,) = await sessions(harness)
    return row, said


async def test_a_session_whose_object_was_deleted_is_read_from_a_copy(
    harness: Harness, tmp_path: Path
) -> None:
    session = await copied(harness)
    row, said = await processed(harness, tmp_path)
    assert (row["processing_status"], row["file_path"]) == ("completed", COPY)
    assert (row["processing_error"], row["processing_attempts"]) == (None, 1)
    assert said.count("copy_found") == 1
    assert await harness.technical(session) is not None


async def test_a_copy_in_another_folder_gives_its_session_no_other_patient(
    harness: Harness, tmp_path: Path
) -> None:
    await copied(harness, "P006/a.c3d")
    row, _ = await processed(harness, tmp_path)
    assert (row["processing_status"], row["file_path"]) == ("completed", "P006/a.c3d")
    assert row["patient_id"] == "P005"


@pytest.mark.parametrize("gone", ["deleted", "overwritten"])
async def test_without_a_copy_the_object_is_missing(
    harness: Harness, tmp_path: Path, gone: str
) -> None:
    await copied(harness)
    if gone == "deleted":
        await delete(harness, COPY)
    else:
        await overwrite(harness, COPY, numbered(1))
    row, said = await processed(harness, tmp_path)
    assert (row["processing_status"], row["file_path"]) == ("failed", ORIGINAL)
    assert row["processing_error"].startswith("object_missing: ")
    assert "copy_found" not in said


async def test_a_copy_is_for_who_has_the_claim(harness: Harness) -> None:
    session, claim = await copied(harness), uuid4()
    await harness.database.execute(CLAIM, claim)
    find = harness.database.fetchval
    assert await find(FIND, session, uuid4(), harness.bucket) is None
    assert await find(FIND, session, claim, "other-bucket") is None
    assert (await harness.row(session))["file_path"] == ORIGINAL
    assert await find(FIND, session, claim, harness.bucket) == COPY
    assert (await harness.row(session))["file_path"] == COPY
