"""Taking in uploads on the local stack: memory, throughput, and what it costs to find nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence

from benchmarks.actors import CONCURRENCY, ready_worker
from benchmarks.bare_intake import take_in
from benchmarks.floor import client
from benchmarks.harness import Harness, open_harness, settings_of
from benchmarks.measurement import Measurement, Target, compared, in_turn
from benchmarks.run import Run
from worker.backend import rest
from worker.backend.connection import Connection, connect
from worker.backend.metadata_service import SESSIONS
from worker.backend.queue_look import QueueLooks
from worker.intake.factory import make_intake, make_intake_loop
from worker.intake.reconciliation import Reconciliation
from worker.local.recordings import ghostly_recording
from worker.settings import DEFAULT_BUCKET, Settings

SETTLE = 2.0  # seconds


async def measure(run: Run) -> None:
    """Measure on a stack of its own: a backfill takes in whatever else lies in the bucket."""
    async with open_harness(run.subfolder("intake")) as harness:
        settings = settings_of(harness.stack)
        async with connect(settings) as connection:
            await _backfill(run, harness, connection, settings)
            await _nothing_to_do(run, connection, settings)
        await _memory(run, harness)


async def _memory(run: Run, harness: Harness) -> None:
    """Peak memory of `run` after a large upload was taken in, and when it was idle."""
    large = harness.folder / "large.c3d"
    with large.open("wb") as file:
        file.truncate(run.sizes.upload)
    await harness.clear()
    await harness.announces(DEFAULT_BUCKET)
    # Phase 2 refuses it unread: what is measured is phase 1.
    async with ready_worker(harness.stack, harness.folder, MAX_FILE_MB="1") as worker:
        await asyncio.sleep(SETTLE)
        idle = worker.peak_megabytes()
        await harness.upload("P001/large.c3d", large)
        await worker.until("object_taken")
        ours = worker.peak_megabytes()
    run.add(
        Measurement(
            f"peak memory while {run.sizes.upload // 1_000_000} MB are taken in",
            ours,
            idle,
            "MB",
            "the same worker, idle",
            Target("difference", 30),
        )
    )


async def _backfill(run: Run, harness: Harness, connection: Connection, settings: Settings) -> None:
    """Objects a second of a backfill."""
    content = ghostly_recording(run.sizes.session_seconds)
    recordings = await harness.recordings("backfill", [content], run.sizes.uploads)
    intake = make_intake(connection, settings)

    async def ours() -> float:
        """Announce and take in what is in the bucket, as `backfill` does."""
        await harness.clear()
        started = time.perf_counter()
        taken = await Reconciliation(intake.queue, lambda: None, every_seconds=0).reconcile()
        await make_intake_loop(intake, settings).drain()
        return taken / (time.perf_counter() - started)

    async def bare() -> float:
        await harness.clear()
        return await _bare(connection, [each.path for each in recordings])

    taken, inserted = await in_turn(run.sizes.rounds, ours, bare)
    run.add(
        compared(
            f"backfill of {run.sizes.uploads} objects",
            "objects/s",
            taken,
            inserted,
            "each streamed, hashed and inserted, as many at once, nothing else",
            target=Target("ratio", 0.7, at_least=True),
        )
    )


async def _nothing_to_do(run: Run, connection: Connection, settings: Settings) -> None:
    """Milliseconds of looking in vain: at both queues, and at every object of the bucket."""
    intake = make_intake(connection, settings)
    reconciliation = Reconciliation(intake.queue, lambda: None, every_seconds=0)
    looks = QueueLooks(connection.supabase, DEFAULT_BUCKET, every_file=False)
    one_row = connection.supabase.table(SESSIONS).select("id").limit(1)
    await reconciliation.reconcile()
    await make_intake_loop(intake, settings).drain()
    look, reading, bare = await in_turn(
        run.sizes.singles,
        lambda: _milliseconds(looks.look()),
        lambda: _milliseconds(reconciliation.reconcile()),
        lambda: _milliseconds(rest.rows(one_row)),
    )
    objects = f"a reading of {run.sizes.uploads} objects that finds nothing"
    for name, ours in (("a look that finds nothing", look), (objects, reading)):
        run.add(compared(name, "ms", ours, bare, "a request for one row"))


async def _milliseconds(call: Awaitable[object]) -> float:
    started = time.perf_counter()
    await call
    return (time.perf_counter() - started) * 1e3


async def _bare(connection: Connection, paths: Sequence[str]) -> float:
    """Objects a second of bare requests."""
    free = asyncio.Semaphore(CONCURRENCY)
    async with client(connection.url, connection.key) as http:

        async def take(path: str) -> None:
            async with free:
                await take_in(http, path)

        started = time.perf_counter()
        await asyncio.gather(*map(take, paths))
        return len(paths) / (time.perf_counter() - started)
