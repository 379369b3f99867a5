"""The claim loop on the real queue: who works on what, for how long, and how it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import httpx
import pytest
import structlog

from tests.integration.harness import Harness
from worker.backend.metadata_service import MetadataService
from worker.backend.sessions import ClaimedSession, Completion, Failure, Finished
from worker.extraction.errors import NotC3DError
from worker.processing.session_queue import SessionQueue
from worker.queueing.batcher import Batcher
from worker.queueing.claim_loop import ClaimLoop

pytestmark = pytest.mark.contract  # holds on any Supabase

LEASE = 2  # seconds
SLOTS = 4

Process = Callable[[ClaimedSession], Awaitable[None]]


@asynccontextmanager
async def _looping(
    harness: Harness,
    process: Process,
    *,
    shutdown_timeout_seconds: float = 10,
    metadata: MetadataService | None = None,
) -> AsyncIterator[tuple[ClaimLoop[ClaimedSession], asyncio.Task[None]]]:
    """A claim loop with shorter times than the settings allow people."""
    metadata = metadata or MetadataService(harness.connection.supabase)
    loop = ClaimLoop(
        SessionQueue(metadata, LEASE, 3, harness.bucket),
        process,
        slots=SLOTS,
        lease_seconds=LEASE,
        poll_seconds=0.2,
        shutdown_timeout_seconds=shutdown_timeout_seconds,
    )
    running = asyncio.create_task(loop.run())
    yield loop, running
    if not running.done():
        loop.stop()
    await running


async def _sessions(harness: Harness, number: int) -> list[UUID]:
    return [await harness.session(str(uuid4()).encode(), uploaded=False) for _ in range(number)]


async def _abandon(harness: Harness, session: UUID) -> None:
    """Leave the session as a worker that died with it does."""
    await harness.database.execute(
        """update public.therapy_sessions
           set processing_status = 'processing', processing_attempts = 1,
               processing_claim = gen_random_uuid(), processing_due_at = now() - interval '1 s'
           where id = $1""",
        session,
    )


async def test_a_session_whose_worker_died_is_worked_on_beside_no_other_of_its_kind(
    harness: Harness,
) -> None:
    sessions = await _sessions(harness, 24)
    abandoned = set(sessions[6:10])
    for session in abandoned:
        await _abandon(harness, session)
    active: set[UUID] = set()
    beside: dict[UUID, set[UUID]] = {}
    metadata = MetadataService(harness.connection.supabase)

    async def process(session: ClaimedSession) -> None:
        active.add(session.id)
        for each in active:
            beside.setdefault(each, set()).update(active - {each})
        await asyncio.sleep(0.05)
        active.discard(session.id)
        await _complete(metadata, session)

    async with _looping(harness, process):
        await harness.until_done(sessions)
    assert not any(beside[session] & abandoned for session in abandoned)
    assert any(beside[session] for session in abandoned)
    for session in sessions:
        attempts = (await harness.row(session))["processing_attempts"]
        assert attempts == (2 if session in abandoned else 1)


async def test_abandoned_sessions_that_take_long_keep_no_other_waiting(harness: Harness) -> None:
    sessions = await _sessions(harness, 24)
    slow, quick = sessions[:SLOTS], sessions[SLOTS:]
    for session in slow:
        await _abandon(harness, session)
    metadata = MetadataService(harness.connection.supabase)
    freed = asyncio.Event()

    async def process(session: ClaimedSession) -> None:
        if session.abandoned:
            await freed.wait()
        await _complete(metadata, session)

    async with _looping(harness, process):
        await harness.until_done(quick, seconds=10)
        assert (await harness.counts())["processing"] == len(slow)
        freed.set()
        await harness.until_done(slow)
    assert await harness.counts() == {"completed": len(sessions)}


@pytest.mark.parametrize("locked", [1, SLOTS])
async def test_a_session_that_somebody_has_locked_takes_no_slot_and_loses_no_lease(
    harness: Harness, locked: int
) -> None:
    """Otherwise as many as there are slots would stop the worker while the lock is held."""
    held = await _sessions(harness, locked)
    metadata = MetadataService(harness.connection.supabase)
    may_complete = asyncio.Event()

    async def process(session: ClaimedSession) -> None:
        await may_complete.wait()
        while await _complete(metadata, session) is Completion.LOCKED:
            await asyncio.sleep(0.1)

    async with _looping(harness, process):
        for session in held:
            await harness.until(session, "processing")
        async with harness.locking(*held):
            may_complete.set()
            others = await _sessions(harness, 20)
            await harness.until_done(others, seconds=10)
            await asyncio.sleep(1.5 * LEASE)
            assert await harness.counts() == {"processing": locked, "completed": len(others)}
        await harness.until_done(held)
    assert await harness.counts() == {"completed": locked + len(others)}


async def test_a_lease_is_extended_while_the_work_goes_on(harness: Harness) -> None:
    (session,) = await _sessions(harness, 1)
    metadata = MetadataService(harness.connection.supabase)

    async def process(claimed: ClaimedSession) -> None:
        await asyncio.sleep(2.5 * LEASE)
        await _complete(metadata, claimed)

    async with _looping(harness, process):
        row = await harness.until(session, "completed", "failed")
    assert row["processing_status"] == "completed"
    assert row["processing_attempts"] == 1


async def test_work_whose_lease_went_to_another_is_dropped(harness: Harness) -> None:
    (session,) = await _sessions(harness, 1)
    dropped = asyncio.Event()

    async def process(_: ClaimedSession) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            dropped.set()
            raise

    async with _looping(harness, process):
        await harness.until(session, "processing")
        other = uuid4()
        await harness.database.execute(
            """update public.therapy_sessions
               set processing_claim = $1, processing_due_at = now() + interval '1 min'
               where id = $2""",
            other,
            session,
        )
        async with asyncio.timeout(2 * LEASE):
            await dropped.wait()
    row = await harness.row(session)
    assert (row["processing_status"], row["processing_claim"]) == ("processing", other)


@pytest.mark.parametrize("end", ["complete_sessions", "fail_session"])
async def test_an_end_whose_answer_comes_late_is_not_a_lost_lease(
    harness: Harness, end: str
) -> None:
    (session,) = await _sessions(harness, 1)
    ended: list[Completion | Failure] = []

    async def late(response: httpx.Response) -> None:
        if response.url.path.endswith(f"/{end}"):
            await asyncio.sleep(1.5 * LEASE)  # an extension is asked for meanwhile, and refused

    harness.connection.http.event_hooks["response"].append(late)
    metadata = MetadataService(harness.connection.supabase)

    async def process(claimed: ClaimedSession) -> None:
        if end == "fail_session":
            ended.append(await metadata.fail(claimed, NotC3DError("Empty."), max_attempts=3))
        else:
            ended.append(await _complete(metadata, claimed))

    with structlog.testing.capture_logs() as logs:
        async with _looping(harness, process, metadata=metadata):
            await harness.until(session, "completed", "failed")
    assert ended in ([Completion.COMPLETED], [Failure.FAILED])
    assert "lease_lost" not in [each["event"] for each in logs]


@pytest.mark.parametrize(("stops", "shutdown_timeout_seconds"), [(1, 0.5), (2, 60)])
async def test_a_stop_gives_back_what_does_not_finish_in_time(
    harness: Harness, stops: int, shutdown_timeout_seconds: float
) -> None:
    """One stop waits for SHUTDOWN_TIMEOUT_SECONDS, a second one does not wait."""
    sessions = await _sessions(harness, 6)

    async def process(_: ClaimedSession) -> None:
        await asyncio.sleep(60)

    async with _looping(harness, process, shutdown_timeout_seconds=shutdown_timeout_seconds) as (
        loop,
        running,
    ):
        while (await harness.counts()).get("processing", 0) < 4:
            await asyncio.sleep(0.02)
        started = time.monotonic()
        for _ in range(stops):
            loop.stop()
        await running
    assert time.monotonic() - started < 30.0  # far below the 60 s of the patient one
    assert await harness.counts() == {"pending": len(sessions)}
    attempts = await harness.database.fetchval(
        "select sum(processing_attempts) from public.therapy_sessions where id = any ($1)", sessions
    )
    assert attempts == 0


async def _complete(metadata: MetadataService, session: ClaimedSession) -> Completion:
    technical = {"channel_count": 0, "channel_names": []}
    finished = Finished(session, technical, session.file_hash, game={})
    return await Batcher(metadata.complete_many).end(finished)
