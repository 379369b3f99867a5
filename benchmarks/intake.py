"""Phase 1 on the local stack: memory, latency and throughput, in one run: `make bench`.

What stands in the column "beside" is measured in the same run.
"""

from __future__ import annotations

import asyncio
import hashlib
import statistics
import struct
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from worker.backend.connection import Connection, connect
from worker.backend.metadata_service import MetadataService
from worker.backend.sessions import NewSession
from worker.backend.uploads import Uploads
from worker.local.announcing import announce_uploads
from worker.local.migrated import migrate
from worker.local.packages import ensure_installed
from worker.local.recordings import ghostly_recording
from worker.local.stack import Ports, StackInfo, local_stack
from worker.local.worker_process import WorkerProcess, worker_process
from worker.phase_one import make_intake, make_sweep
from worker.settings import DEFAULT_BUCKET, Settings
from worker.telemetry import configure_logs

PROJECT = Path(__file__).resolve().parent.parent
GHOSTLY = ghostly_recording(seconds=65.0)
LARGE = 500_000_000  # bytes
SINGLE = 15
BACKLOG = 500


def numbered(number: int) -> bytes:
    """Return a recording unlike the others."""
    return GHOSTLY[:-4] + struct.pack("<f", number)


async def main() -> None:
    """Measure every row and print the table."""
    table = Table(title="Intake, local stack", title_justify="left")
    for heading in ("measurement", "ours", "beside", "beside is"):
        table.add_column(heading)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with local_stack(folder / "stack", Ports(0, 0), lambda _: None) as stack:
            await migrate(stack, PROJECT, ensure_installed(print))
            settings = Settings(
                _env_file=None,
                log_level="WARNING",
                supabase_url=stack.url,
                supabase_secret_key=SecretStr(stack.secret_key),
            )
            configure_logs(settings)
            async with connect(settings) as connection:
                ours, idle = await memory(stack, connection, folder)
                table.add_row("peak while 500 MB come in, MB", f"{ours:.0f}", f"{idle:.0f}", "idle")
                webhook, hand = await latency(stack, connection, folder)
                table.add_row(
                    "upload → session, s", f"{webhook:.3f}", f"{hand:.3f}", "inserted by hand"
                )
                swept, again = await backlog(connection, settings)
                table.add_row(f"backfill of {BACKLOG}, objects/s", f"{swept:.0f}", "", "")
                table.add_row("a sweep that finds nothing, s", f"{again:.4f}", "", "")
    Console().print(table)


async def memory(stack: StackInfo, connection: Connection, folder: Path) -> tuple[float, float]:
    """Peak memory of `run` after a 500 MB upload was taken in, and when it was idle."""
    large = folder / "large.c3d"
    with large.open("wb") as file:
        file.truncate(LARGE)
    webhook = await announce_uploads(stack)
    # Phase 2 refuses it unread: what is measured is phase 1.
    async with worker_process(stack, folder, MAX_FILE_MB="1", **webhook) as worker:
        await worker.until("realtime_ready")
        await asyncio.sleep(2)
        idle = worker.peak_megabytes()
        await Uploads(connection, DEFAULT_BUCKET).upload("P001/large.c3d", large, lambda _: None)
        await worker.until("object_taken")
        return worker.peak_megabytes(), idle


async def latency(stack: StackInfo, connection: Connection, folder: Path) -> tuple[float, float]:
    """Median seconds from an upload's first byte to its session, by webhook and by hand."""
    webhook = await announce_uploads(stack)
    async with worker_process(stack, folder, **webhook) as worker:
        await worker.until("realtime_ready")
        ours = [await _by_webhook(connection, worker, number) for number in range(SINGLE)]
    hand = [await _by_hand(connection, SINGLE + number) for number in range(SINGLE)]
    return statistics.median(ours), statistics.median(hand)


async def backlog(connection: Connection, settings: Settings) -> tuple[float, float]:
    """Objects a second of a backfill, and seconds of a sweep when nothing is left."""
    bucket = connection.supabase.storage.from_(DEFAULT_BUCKET)
    sweep = make_sweep(make_intake(connection, settings), settings)
    await sweep.sweep()
    for number in range(BACKLOG):
        await bucket.upload(f"P002/{number}.c3d", numbered(1000 + number))
    started = time.perf_counter()
    taken = await sweep.sweep()
    rate = taken / (time.perf_counter() - started)
    started = time.perf_counter()
    await sweep.sweep()
    return rate, time.perf_counter() - started


async def _by_webhook(connection: Connection, worker: WorkerProcess, number: int) -> float:
    bucket = connection.supabase.storage.from_(DEFAULT_BUCKET)
    started = time.perf_counter()
    await bucket.upload(f"P001/{uuid4()}.c3d", numbered(number))
    await worker.until("object_taken")
    return time.perf_counter() - started


async def _by_hand(connection: Connection, number: int) -> float:
    bucket = connection.supabase.storage.from_(DEFAULT_BUCKET)
    content, path = numbered(number), f"P001/{uuid4()}.c3d"
    started = time.perf_counter()
    await bucket.upload(path, content)
    digest = hashlib.sha256(content).hexdigest()
    new = NewSession(path, digest, len(content), path)
    await MetadataService(connection.supabase).create_session(new)
    return time.perf_counter() - started


if __name__ == "__main__":
    asyncio.run(main())
