"""The pipeline beside the same requests made by hand, in one run: `make bench`.

Times are medians; what stands in the column "beside" is measured in the same run, in turn.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import statistics
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
from rich.console import Console
from rich.table import Table

from worker.backend import rest
from worker.backend.connection import Connection
from worker.backend.metadata_service import SESSIONS, MetadataService
from worker.backend.object_store import ObjectStore
from worker.backend.sessions import ClaimedSession, Finished, NewSession
from worker.extraction.metadata import read_metadata
from worker.extraction.section import PREFIX_BYTES
from worker.local.migrated import connected, migrate
from worker.local.packages import ensure_installed
from worker.local.recordings import ghostly_recording, recording
from worker.local.stack import Ports, StackInfo, local_stack
from worker.local.worker_process import worker_process
from worker.settings import DEFAULT_BUCKET

PROJECT = Path(__file__).resolve().parent.parent
GHOSTLY = ghostly_recording(seconds=65.0)
BACKLOG = 200
SINGLE = 15
SLOTS = 4  # CONCURRENCY's default, for both


class Bench:
    """What the rows of the table share."""

    def __init__(self, stack: StackInfo, connection: Connection, folder: Path) -> None:
        """Bind to a migrated stack."""
        self.stack = stack
        self.folder = folder
        self.supabase = connection.supabase
        self.metadata = MetadataService(connection.supabase)
        self.store = ObjectStore(connection, DEFAULT_BUCKET)
        self._numbers = iter(range(1_000_000))

    async def arrive(self, content: bytes | None = None) -> UUID:
        """Upload a recording unlike the others and create its session."""
        content = content or GHOSTLY[:-4] + struct.pack("<f", next(self._numbers))
        path = f"P001/{uuid4()}.c3d"
        await self.supabase.storage.from_(DEFAULT_BUCKET).upload(path, content)
        digest = hashlib.sha256(content).hexdigest()
        new = NewSession(path, digest, len(content), path)
        return (await self.metadata.create_session(new))[0]

    async def unfinished(self) -> int:
        """Sessions that wait or are in hand."""
        waiting = self.supabase.table(SESSIONS).select("id").limit(1000)
        return len(await rest.rows(waiting.in_("processing_status", ["pending", "processing"])))

    async def until_done(self) -> None:
        """Look every 10 ms until nothing is left."""
        while await self.unfinished():
            await asyncio.sleep(0.01)

    async def by_hand(self, most: int) -> int:
        """Claim, download, read and complete with the same doors and nothing around them."""
        sessions = await self.metadata.claim(uuid4(), most=most, lease_seconds=60, max_attempts=5)
        await asyncio.gather(*map(self._finish, sessions))
        return len(sessions)

    async def _finish(self, session: ClaimedSession) -> None:
        size = session.file_size_bytes
        file = io.BytesIO()
        content_hash = await self.store.fetch(session.file_path, file, size=size, most_bytes=size)
        found = read_metadata(file.getvalue()[:PREFIX_BYTES], size)
        await self.metadata.complete_all([Finished(session, found.row(), content_hash, found.game)])


async def main() -> None:
    """Measure every row and print the table."""
    table = Table(title="Pipeline, local stack", title_justify="left")
    for heading in ("measurement", "ours", "beside", "ratio", "beside is"):
        table.add_column(heading)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, second = await start_twice(folder)
        table.add_row("stack start, s", *_ratio(first, second), "a second start, data kept")
        async with _bench(folder) as bench:
            table.add_row("upload → row, s", *_ratio(*await latency(bench)), "the same by hand")
            table.add_row("backlog, sessions/s", *_ratio(*await backlog(bench)), "the same by hand")
            table.add_row("worker's peak, MB", *_ratio(*await memory(bench)), "before the 200 MB")
    Console().print(table)


async def start_twice(folder: Path) -> tuple[float, float]:
    """Seconds until the stack answers, on an empty folder and again."""
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        async with local_stack(folder / "start", Ports(0, 0), lambda _: None):
            seconds.append(time.perf_counter() - started)
    return seconds[0], seconds[1]


async def latency(bench: Bench) -> tuple[float, float]:
    """Seconds from the upload's first byte to the session's end, with and without a worker."""

    async def one_by_hand() -> None:
        await bench.by_hand(1)

    async with worker_process(bench.stack, bench.folder) as worker:
        await worker.until("realtime_ready")
        ours = [await _timed(bench, bench.until_done) for _ in range(SINGLE)]
    other = [await _timed(bench, one_by_hand) for _ in range(SINGLE)]
    return statistics.median(ours), statistics.median(other)


async def backlog(bench: Bench) -> tuple[float, float]:
    """Sessions a second, from a backlog."""
    for _ in range(BACKLOG):
        await bench.arrive()
    async with worker_process(bench.stack, bench.folder) as worker:
        await worker.until("session_claimed")
        started = time.perf_counter()
        await bench.until_done()
        ours = BACKLOG / (time.perf_counter() - started)
    for _ in range(BACKLOG):
        await bench.arrive()
    started = time.perf_counter()
    while await bench.by_hand(SLOTS):
        pass
    return ours, BACKLOG / (time.perf_counter() - started)


async def memory(bench: Bench) -> tuple[float, float]:
    """Peak memory of a worker after a 200 MB object, and before it."""
    samples = np.zeros((50_000 * 20, 50), dtype=np.float32)
    large = recording(samples, samples_per_frame=20)
    async with worker_process(bench.stack, bench.folder) as worker:
        await worker.until("realtime_ready")
        await bench.arrive()
        await bench.until_done()
        before = worker.peak_megabytes()
        await bench.arrive(large)
        await bench.until_done()
        return worker.peak_megabytes(), before


async def _timed(bench: Bench, finish: Callable[[], Awaitable[None]]) -> float:
    started = time.perf_counter()
    await bench.arrive()
    await finish()
    return time.perf_counter() - started


def _ratio(ours: float, other: float) -> tuple[str, str, str]:
    return f"{ours:.3g}", f"{other:.3g}", f"{ours / other:.2f}"


@asynccontextmanager
async def _bench(folder: Path) -> AsyncIterator[Bench]:
    async with local_stack(folder / "stack", Ports(0, 0), lambda _: None) as stack:
        await migrate(stack, PROJECT, ensure_installed(print))
        async with connected(stack) as connection:
            yield Bench(stack, connection, folder)


if __name__ == "__main__":
    asyncio.run(main())
