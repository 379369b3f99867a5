"""What `c3d-worker ingest` says of files, and what their sessions are called."""

from __future__ import annotations

from pathlib import Path

from tests.integration.command_line import command
from tests.integration.harness import Harness
from tests.integration.uploads import RECORDING, numbered, sessions
from worker.local.announcing import announce_uploads


async def test_new_files_are_new_also_where_a_worker_makes_their_sessions(
    harness: Harness, tmp_path: Path
) -> None:
    webhook = await announce_uploads(harness.stack)
    names = [f"{number}.c3d" for number in range(6)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(numbered(number))
    async with harness.worker(tmp_path, **webhook) as worker:
        await worker.until("realtime_ready")
        arguments = ("ingest", *names, "--patient", "P005", "--wait")
        code, printed, _ = await command(harness.stack, tmp_path, *arguments)
    lines = [line for line in printed.splitlines() if line]
    assert code == 0, printed
    assert [line.partition(" new session ")[0] for line in lines[:6]] == [f"{n}:" for n in names]
    assert lines[6:] == [
        *(f"{name}: completed, 4 channels, 990 Hz, 5 s" for name in names),
        "6 sessions: 6 completed.",
    ]


async def test_a_failed_session_that_another_upload_heals_is_not_called_new(
    harness: Harness, tmp_path: Path
) -> None:
    session = await harness.session(RECORDING, path="a.c3d")
    await harness.database.execute(
        "update public.therapy_sessions set processing_status = 'failed', processing_due_at = null,"
        " processing_error = 'object_missing: No.'"
    )
    (tmp_path / "a.c3d").write_bytes(RECORDING)
    code, printed, _ = await command(harness.stack, tmp_path, "ingest", "a.c3d")
    assert printed.startswith(f"a.c3d: known already, read again {session}")
    assert code == 0


async def test_the_session_keeps_the_name_that_no_key_can_have(
    harness: Harness, tmp_path: Path
) -> None:
    (tmp_path / "王小明.c3d").write_bytes(RECORDING)
    code, printed, _ = await command(harness.stack, tmp_path, "ingest", "王小明.c3d")
    assert code == 0
    assert printed.startswith("王小明.c3d: new session ")
    (session,) = await sessions(harness)
    assert (session["original_filename"], session["file_path"]) == ("王小明.c3d", "___.c3d")


async def test_the_session_of_a_namesake_keeps_its_own_name(
    harness: Harness, tmp_path: Path
) -> None:
    await harness.upload(numbered(1), "a.c3d")
    (tmp_path / "a.c3d").write_bytes(numbered(2))
    await command(harness.stack, tmp_path, "ingest", "a.c3d")
    (session,) = await sessions(harness)
    assert session["original_filename"] == "a.c3d"
    assert session["file_path"].startswith("a-")
