"""The whole chain on real parts: upload, trigger, bell, session, Realtime, row."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.harness import Harness
from tests.integration.uploads import (
    NEVER,
    RECORDING,
    intake_of,
    numbered,
    object_of,
    overwrite,
    register,
    sessions,
    wait_over,
)
from worker.extraction.metadata import read_metadata
from worker.local.announcing import announce_uploads


async def until_sessions(harness: Harness, number: int, *, seconds: float = 30.0) -> None:
    """Wait until there are so many sessions and all are finished."""
    async with asyncio.timeout(seconds):
        while await harness.counts() != {"completed": number}:
            await asyncio.sleep(0.05)


async def test_an_upload_alone_makes_session_and_row(harness: Harness, tmp_path: Path) -> None:
    await harness.announces(harness.bucket)
    async with harness.worker(tmp_path, POLL_SECONDS=NEVER) as worker:  # no port, no webhook
        await worker.until("realtime_ready")
        path = await harness.upload(RECORDING, "P005/planted-name.c3d")
        await worker.until("upload_heard")
        await until_sessions(harness, 1)
        await worker.stop()
    (session,) = await sessions(harness)
    assert (session["file_path"], session["patient_id"]) == (path, "P005")
    technical = await harness.technical(session["id"])
    assert technical == read_metadata(RECORDING, len(RECORDING)).row()


async def test_a_webhook_is_answered_before_anything_is_downloaded(
    harness: Harness, tmp_path: Path
) -> None:
    await harness.announces(harness.bucket)
    webhook = await announce_uploads(harness.stack)
    async with harness.worker(tmp_path, POLL_SECONDS=NEVER, **webhook) as worker:
        await worker.until("realtime_ready")
        await harness.upload(RECORDING)
        await worker.until("webhook_heard")
        await until_sessions(harness, 1)
        await worker.stop()
    answer = await harness.database.fetchval(
        "select status_code from net._http_response order by id desc limit 1"
    )
    assert answer == 202


async def test_an_overwrite_gets_its_own_row_and_leaves_the_first(
    harness: Harness, tmp_path: Path
) -> None:
    await harness.announces(harness.bucket)
    async with harness.worker(tmp_path, POLL_SECONDS=NEVER) as worker:
        await worker.until("realtime_ready")
        path = await harness.upload(numbered(1))
        await until_sessions(harness, 1)
        (first,) = await sessions(harness)
        await overwrite(harness, path, numbered(2))
        await until_sessions(harness, 2)
    assert (await sessions(harness))[0] == first


async def test_fifty_uploads_at_once_are_all_taken_in(harness: Harness, tmp_path: Path) -> None:
    await harness.announces(harness.bucket)
    async with harness.worker(tmp_path, POLL_SECONDS=NEVER) as worker:
        await worker.until("realtime_ready")
        await asyncio.gather(*(harness.upload(numbered(number)) for number in range(50)))
        await until_sessions(harness, 50, seconds=60)
    assert [row[1] for row in await register(harness)] == ["session"] * 50


async def test_what_came_while_no_worker_ran_waits_in_the_queue(
    harness: Harness, tmp_path: Path
) -> None:
    await harness.announces(harness.bucket)
    for number in range(20):
        await harness.upload(numbered(number))
    async with harness.worker(tmp_path):
        await until_sessions(harness, 20)
    assert [row[1] for row in await register(harness)] == ["session"] * 20


async def test_what_no_trigger_announces_is_found_in_the_bucket(
    harness: Harness, tmp_path: Path
) -> None:
    async with harness.worker(tmp_path, BUCKET_SWEEP_SECONDS="1") as worker:
        await worker.until("bucket_reconciled")
        await harness.upload(RECORDING)
        await until_sessions(harness, 1)


async def test_a_stopped_worker_gives_back_what_it_was_taking_in(
    harness: Harness, tmp_path: Path
) -> None:
    await asyncio.gather(*(harness.upload(numbered(number)) for number in range(60)))
    async with harness.worker(tmp_path, BUCKET_SWEEP_SECONDS="1") as worker:
        await worker.until("object_taken")
        assert await worker.stop() == 0
    outcomes = Counter(row[1] for row in await register(harness))
    assert set(outcomes) == {"session", "waiting"}
    assert outcomes.total() == 60
    async with harness.worker(tmp_path, BUCKET_SWEEP_SECONDS="1"):
        await until_sessions(harness, 60, seconds=60)


async def test_the_claim_of_a_killed_worker_runs_out(harness: Harness, tmp_path: Path) -> None:
    path = await harness.upload(RECORDING)
    dead = intake_of(harness, lease_seconds=5).queue
    await dead.announce(await object_of(harness, path))
    assert len(await dead.claim(uuid4(), limit=1)) == 1
    async with harness.worker(tmp_path, BUCKET_SWEEP_SECONDS="1") as worker:
        await worker.until("bucket_reconciled")
        assert [row[1] for row in await register(harness)] == ["taking"]
        await wait_over(harness)
        await until_sessions(harness, 1)


async def test_a_taken_port_is_one_sentence(harness: Harness, tmp_path: Path) -> None:
    webhook = await announce_uploads(harness.stack)
    async with harness.worker(tmp_path, **webhook) as worker:
        await worker.until("realtime_ready")
        async with harness.worker(tmp_path, **webhook) as second:
            with pytest.raises(Exception, match="HTTP_PORT"):
                await second.until("realtime_ready")
            assert await second.process.wait() == 2
