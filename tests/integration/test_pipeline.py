"""From an upload to a technical row, on real parts, with the worker as its own process."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.faults.sessions import COUNT_WRITES, STOP_COUNTING
from tests.integration.command_line import command
from tests.integration.harness import Harness
from tests.integration.uploads import NEVER, RECORDING, numbered
from worker.backend.metadata_service import MetadataService
from worker.backend.sessions import NewSession
from worker.extraction.analytics import STATISTICS_VERSION
from worker.extraction.metadata import read_metadata
from worker.local.recordings import ghostly_recording

pytestmark = pytest.mark.contract  # holds on any Supabase


async def test_a_realtime_event_wakes_the_worker_and_the_recording_gets_its_row(
    harness: Harness, tmp_path: Path
) -> None:
    async with harness.worker(tmp_path, POLL_SECONDS=NEVER) as worker:
        await worker.until("realtime_ready")
        await worker.until("woken")  # what this one finds is nothing
        session = await harness.session(RECORDING)
        row = await harness.until(session, "completed", "failed")

    assert row["processing_status"] == "completed"
    assert row["processing_error"] is None
    assert row["processing_attempts"] == 1
    assert row["read_by_version"] == version("c3d-session-worker")
    expected = read_metadata(RECORDING, len(RECORDING)).row()
    technical = await harness.technical(session)
    assert technical is not None
    assert technical == expected
    assert technical["original_sampling_rate"] == 990.0
    assert technical["channel_names"] == ["CH1 Raw", "CH2 Raw", "CH1 activated", "CH2 activated"]
    statistics = json.loads(row["analytics_cache"])["channel_statistics"]
    assert statistics["version"] == STATISTICS_VERSION
    assert [channel["name"] for channel in statistics["channels"]] == technical["channel_names"]


async def test_sessions_inserted_before_the_worker_started_are_found(
    harness: Harness, tmp_path: Path
) -> None:
    session = await harness.session(RECORDING)
    async with harness.worker(tmp_path, POLL_SECONDS=NEVER):
        row = await harness.until(session, "completed", "failed")
    assert row["processing_status"] == "completed"


async def test_what_is_put_off_is_read_when_it_is_due(harness: Harness, tmp_path: Path) -> None:
    session = await harness.session(RECORDING)
    await harness.database.execute(
        "update public.therapy_sessions set processing_due_at = now() + interval '6 seconds'"
    )
    async with harness.worker(tmp_path, POLL_SECONDS=NEVER):
        row = await harness.until(session, "completed", "failed")
    assert row["processing_status"] == "completed"


async def test_a_requeued_session_is_found_by_the_poll(harness: Harness, tmp_path: Path) -> None:
    async with harness.worker(tmp_path, POLL_SECONDS="1") as worker:
        await worker.until("realtime_ready")
        session = await harness.session(b"no recording")
        await harness.until(session, "failed")
        code, printed, _ = await command(
            harness.stack, tmp_path, "requeue", str(session), "--reason", "once more"
        )
        said = "pending, read within 30 s by a worker that is free"
        assert (code, printed) == (0, f"{session}: {said}\n")
        row = await harness.until(session, "failed")
    assert row["processing_attempts"] == 1


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "c3d_not_c3d"),
        (b"%PDF-1.4 this is no recording" * 100, "c3d_not_c3d"),
        (RECORDING[:-5_000], "c3d_truncated"),
    ],
    ids=["empty", "a PDF", "truncated"],
)
async def test_a_bad_file_fails_with_its_reason_and_the_worker_goes_on(
    harness: Harness, tmp_path: Path, content: bytes, code: str
) -> None:
    async with harness.worker(tmp_path) as worker:
        await worker.until("realtime_ready")
        bad = await harness.session(content)
        good = await harness.session(RECORDING)
        failed = await harness.until(bad, "completed", "failed")
        completed = await harness.until(good, "completed", "failed")

    assert failed["processing_status"] == "failed"
    assert failed["processing_error"].startswith(f"{code}: ")
    assert await harness.technical(bad) is None
    assert completed["processing_status"] == "completed"


async def test_a_changed_file_fails_by_size_or_by_hash(harness: Harness, tmp_path: Path) -> None:
    other = ghostly_recording(seconds=10.0, seed=1)
    wrong_hash = hashlib.sha256(other).hexdigest()
    shorter = await harness.session(RECORDING, size=len(RECORDING) + 1)
    longer = await harness.session(other, size=len(other) - 1)
    changed = await harness.session(
        ghostly_recording(seconds=10.0, seed=2), file_hash="0" * 63 + "1"
    )
    assert wrong_hash != "0" * 63 + "1"
    async with harness.worker(tmp_path, MAX_ATTEMPTS="2", POLL_SECONDS="1") as worker:
        for _ in range(3):
            first = await worker.until("session_done")
            assert first["outcome"] == "pending"  # the bytes may have been damaged on the way
        await harness.until_done([shorter, longer, changed])
    for session, code in [
        (shorter, "size_mismatch"),
        (longer, "size_mismatch"),
        (changed, "hash_mismatch"),
    ]:
        row = await harness.row(session)
        assert row["processing_status"] == "failed"
        assert row["processing_error"].startswith(f"{code}: ")
        assert await harness.technical(session) is None


async def test_a_file_beyond_the_limit_is_not_downloaded(harness: Harness, tmp_path: Path) -> None:
    session = await harness.session(b"small", size=2_000_001)
    async with harness.worker(tmp_path, MAX_FILE_MB="2"):
        row = await harness.until(session, "failed")
    assert row["processing_error"].startswith("file_too_large: ")
    assert "MAX_FILE_MB" in row["processing_error"]


async def test_a_missing_object_is_retried_and_processed_when_it_comes(
    harness: Harness, tmp_path: Path
) -> None:
    session = await harness.session(RECORDING, uploaded=False, path="P005/late.c3d")
    async with harness.worker(tmp_path, POLL_SECONDS="1") as worker:
        await worker.until("session_done")
        waiting = await harness.row(session)
        await harness.upload(RECORDING, "P005/late.c3d")
        row = await harness.until(session, "completed", "failed")
    assert waiting["processing_status"] == "pending"
    assert waiting["processing_error"].startswith("object_missing: ")
    assert waiting["processing_due_at"] > waiting["updated_at"]
    assert row["processing_status"] == "completed"
    assert row["processing_error"] is None
    assert row["processing_attempts"] == 2


async def test_a_missing_object_fails_after_the_last_attempt(
    harness: Harness, tmp_path: Path
) -> None:
    session = await harness.session(RECORDING, uploaded=False)
    async with harness.worker(tmp_path, MAX_ATTEMPTS="1"):
        row = await harness.until(session, "failed")
    assert row["processing_error"].startswith("object_missing: ")


async def test_a_legacy_hash_gives_way_to_the_content_hash(
    harness: Harness, tmp_path: Path
) -> None:
    session = await harness.session(RECORDING, file_hash="P005/a.c3d:1234", measured=False)
    async with harness.worker(tmp_path):
        row = await harness.until(session, "completed", "failed")
    assert row["processing_status"] == "completed"
    assert row["file_hash"] == hashlib.sha256(RECORDING).hexdigest()


async def test_a_legacy_hash_of_known_content_ends_as_duplicate(
    harness: Harness, tmp_path: Path
) -> None:
    async with harness.worker(tmp_path, POLL_SECONDS="1"):
        first = await harness.session(RECORDING)
        await harness.until(first, "completed")
        second = await harness.session(RECORDING, file_hash="legacy-of-the-same", measured=False)
        row = await harness.until(second, "completed", "failed")
    assert row["processing_status"] == "failed"
    assert row["processing_error"].startswith("duplicate_content: ")
    assert str(first) in row["processing_error"]


async def test_creating_a_session_twice_gives_the_first(harness: Harness) -> None:
    service = MetadataService(harness.connection.supabase)
    new = NewSession(f"{harness.prefix}a.c3d", f"legacy {harness.prefix}", 1, "a.c3d", "P005")
    first, created = await service.create_session(new)
    second, again = await service.create_session(new)
    assert (created, again) == (True, False)
    assert first == second
    row = await harness.row(first)
    assert row["patient_id"] == "P005"
    assert row["processing_status"] == "pending"
    assert await harness.technical(first) is None


async def test_two_workers_do_each_of_200_sessions_exactly_once(
    harness: Harness, tmp_path: Path
) -> None:
    await harness.database.execute(COUNT_WRITES)
    try:
        files = [numbered(number) for number in range(200)]
        sessions = [await harness.session(file) for file in files[:50]]
        async with (
            harness.worker(tmp_path) as one,
            harness.worker(tmp_path) as two,
        ):
            sessions += [await harness.session(file) for file in files[50:]]
            await harness.until_done(sessions)
            assert {await one.stop(), await two.stop()} == {0}
        assert await harness.counts() == {"completed": 200}
        written = await harness.database.fetch("select session_id from public.writes")
        assert sorted(row["session_id"] for row in written) == sorted(sessions)
    finally:
        await harness.database.execute(STOP_COUNTING)


async def test_sigterm_finishes_what_is_being_processed(harness: Harness, tmp_path: Path) -> None:
    sessions = [await harness.session(numbered(number)) for number in range(40)]
    async with harness.worker(tmp_path) as worker:
        await worker.until("session_done")
        assert await worker.stop() == 0
    counts = await harness.counts()
    assert set(counts) <= {"completed", "pending"}
    assert counts["completed"] >= 1
    assert sum(counts.values()) == len(sessions)
    attempts = await harness.database.fetch(
        """select distinct processing_attempts from public.therapy_sessions
           where processing_status = 'pending' and id = any ($1)""",
        sessions,
    )
    assert {row["processing_attempts"] for row in attempts} <= {0}


async def test_no_log_line_holds_the_key_or_a_file_name(harness: Harness, tmp_path: Path) -> None:
    async with harness.worker(tmp_path) as worker:
        await worker.until("realtime_ready")
        await harness.session(b"bad", path="P005/planted-name.c3d")
        lines = [str(event) async for event in worker.follow(until="session_done")]
        await worker.stop()
    text = "\n".join(lines)
    assert "session_claimed" in text
    assert harness.stack.secret_key not in text
    assert "planted-name" not in text
