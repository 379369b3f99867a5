"""Phase 1 on the local stack: memory, latency and throughput."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr

from benchmarks.actors import CONCURRENCY, ready_worker
from benchmarks.harness import numbered, open_harness
from benchmarks.measurement import Measurement, Target, compared
from benchmarks.run import Run
from worker.backend import rest
from worker.backend.connection import Connection, connect
from worker.backend.metadata_service import SESSIONS, MetadataService
from worker.backend.object_store import ObjectStore
from worker.backend.sessions import NewSession
from worker.backend.uploads import Uploads
from worker.intake.factory import make_intake, make_intake_loop
from worker.intake.reconciliation import Reconciliation
from worker.local.announcing import announce_uploads
from worker.local.recordings import ghostly_recording
from worker.local.stack import StackInfo
from worker.local.worker_process import WorkerProcess
from worker.observing.logs import configure_logs
from worker.settings import DEFAULT_BUCKET, Settings

GHOSTLY = ghostly_recording(seconds=65.0)
SETTLE = 2.0  # seconds


async def measure(run: Run) -> None:
    """Measure on a stack of its own: a sweep takes in whatever else lies in the bucket."""
    async with open_harness(run.subfolder("intake")) as harness:
        settings = Settings(
            _env_file=None,
            log_level="WARNING",
            supabase_url=harness.stack.url,
            supabase_secret_key=SecretStr(harness.stack.secret_key),
        )
        configure_logs(settings)
        async with connect(settings) as connection:
            await _memory(run, harness.stack, connection, harness.folder)
            await _latency(run, harness.stack, connection, harness.folder)
            await _backfill(run, connection, settings)


async def _memory(run: Run, stack: StackInfo, connection: Connection, folder: Path) -> None:
    """Peak memory of `run` after a large upload was taken in, and when it was idle."""
    large = folder / "large.c3d"
    with large.open("wb") as file:
        file.truncate(run.sizes.upload)
    webhook = await announce_uploads(stack)
    # Phase 2 refuses it unread: what is measured is phase 1.
    async with ready_worker(stack, folder, MAX_FILE_MB="1", **webhook) as worker:
        await asyncio.sleep(SETTLE)
        idle = worker.peak_megabytes()
        await Uploads(connection, DEFAULT_BUCKET).upload("P001/large.c3d", large, lambda _: None)
        await worker.until("object_taken")
        ours = worker.peak_megabytes()
    megabytes = run.sizes.upload // 1_000_000
    run.add(
        Measurement(
            f"peak memory while {megabytes} MB are taken in",
            ours,
            idle,
            "MB",
            "the same worker, idle",
            Target("difference", 30),
        )
    )


async def _latency(run: Run, stack: StackInfo, connection: Connection, folder: Path) -> None:
    """Seconds from an upload's first byte to its session, by webhook and by hand."""
    webhook = await announce_uploads(stack)
    numbers = range(run.sizes.singles)
    async with ready_worker(stack, folder, **webhook) as worker:
        ours = [await _by_webhook(connection, worker, 2 * number) for number in numbers]
    other = [await _by_hand(connection, 2 * number + 1) for number in numbers]
    run.add(compared("upload → session", "s", ours, other, "uploaded, then inserted by hand"))


async def _backfill(run: Run, connection: Connection, settings: Settings) -> None:
    """Objects a second of a backfill, and seconds of a sweep when nothing is left."""
    intake = make_intake(connection, settings)
    sweep = Reconciliation(intake.queue, lambda: None, every_seconds=0)

    async def take_all() -> int:
        """Announce and take in whatever is in the bucket, as `backfill` does."""
        announced = await sweep.reconcile()
        await make_intake_loop(intake, settings).drain()
        return announced

    await take_all()
    bucket = connection.supabase.storage.from_(DEFAULT_BUCKET)
    count = run.sizes.uploads
    for number in range(count):
        await bucket.upload(f"P002/{number}.c3d", numbered(GHOSTLY, 1000 + number))
    started = time.perf_counter()
    taken = await take_all()
    ours = taken / (time.perf_counter() - started)
    await connection.supabase.table(SESSIONS).delete().like("file_path", "P002/%").execute()
    started = time.perf_counter()
    await _insert_all(connection, [f"P002/{number}.c3d" for number in range(count)])
    other = count / (time.perf_counter() - started)
    run.add(
        compared(
            f"backfill of {count} objects",
            "objects/s",
            [ours],
            [other],
            "each streamed, hashed and inserted, as many at once, nothing else",
        )
    )
    await take_all()  # of what the floor inserted, nothing is in the queue of uploads
    idle, bare = [], []
    for _ in range(run.sizes.singles):
        started = time.perf_counter()
        await sweep.reconcile()
        idle.append((time.perf_counter() - started) * 1e3)
        started = time.perf_counter()
        await rest.rows(connection.supabase.table(SESSIONS).select("id").limit(1))
        bare.append((time.perf_counter() - started) * 1e3)
    run.add(compared("a sweep that finds nothing", "ms", idle, bare, "a request for one row"))


async def _insert_all(connection: Connection, paths: list[str]) -> None:
    store, metadata = ObjectStore(connection, DEFAULT_BUCKET), MetadataService(connection.supabase)
    free = asyncio.Semaphore(CONCURRENCY)

    async def insert(path: str) -> None:
        async with free:
            found = await store.measure(path, size=None)
            await metadata.create_session(NewSession(path, found.sha256, found.size, path))

    await asyncio.gather(*map(insert, paths))


async def _by_webhook(connection: Connection, worker: WorkerProcess, number: int) -> float:
    bucket = connection.supabase.storage.from_(DEFAULT_BUCKET)
    started = time.perf_counter()
    await bucket.upload(f"P001/{uuid4()}.c3d", numbered(GHOSTLY, number))
    await worker.until("object_taken")
    return time.perf_counter() - started


async def _by_hand(connection: Connection, number: int) -> float:
    bucket = connection.supabase.storage.from_(DEFAULT_BUCKET)
    content, path = numbered(GHOSTLY, number), f"P001/{uuid4()}.c3d"
    started = time.perf_counter()
    await bucket.upload(path, content)
    digest = hashlib.sha256(content).hexdigest()
    new = NewSession(path, digest, len(content), path)
    await MetadataService(connection.supabase).create_session(new)
    return time.perf_counter() - started
