"""What a large recording costs: seconds and memory, read in full, and by its header only."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping

from benchmarks.actors import floor, ready_worker
from benchmarks.harness import Harness, Recording
from benchmarks.large_files import write_recording
from benchmarks.measurement import Series, Target, compared
from benchmarks.processes import watched
from benchmarks.relay import Relay
from benchmarks.run import Run
from worker.settings import Settings

SETTLE = 1.5  # seconds for who just started
HEADER_READS = 8  # of each size a round: it takes milliseconds, and those scatter
# Far above what is measured, so that no limit cuts it short.
ROOM = {"MAX_FILE_MB": "2000", "EXTRACT_SECONDS": "900"}


async def measure(run: Run) -> None:
    """Grow the recordings, then compare the longest with the shortest."""
    harness = await run.harness()
    library: dict[int, Recording] = {}
    for size in run.sizes.files:
        file = harness.folder / f"{size}.c3d"
        write_recording(file, size)
        library[size] = await harness.upload(f"P006/{size}.c3d", file)
        file.unlink()
    await _verified(run, harness, library)
    if "read_mode" in Settings.model_fields:
        await _header_only(run, harness, library)
    else:
        run.skip("Header mode was not measured: this worker has no READ_MODE.")


async def _verified(run: Run, harness: Harness, library: Mapping[int, Recording]) -> None:
    ours: dict[int, list[tuple[float, float]]] = defaultdict(list)
    bare: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(run.sizes.rounds):
        for size, recording in library.items():
            ours[size].append(await _by_worker(harness, recording))
            bare[size].append(await _by_floor(harness, recording))
    for size in library:
        run.add(
            compared(
                f"a recording of {size:,} MB",
                "s",
                _column(ours[size], 0),
                _column(bare[size], 0),
                "the floor, from its claim to the visible row",
            )
        )
    small, large = min(library), max(library)
    run.add(
        compared(
            f"peak memory, verified, {large:,} MB",
            "MB",
            _column(ours[large], 1),
            _column(ours[small], 1),
            f"the same worker with {small} MB",
            target=Target("ratio", 1.1),
            note="the worker and its children, what they share counted once",
        )
    )
    for column, what, unit in ((0, "time", "seconds"), (1, "memory", "peak, MB")):
        run.series[f"file-{what}"] = Series(
            title=f"One recording: {unit}",
            x_is="size of the recording, MB",
            y_is=unit,
            x=list(library),
            lines={
                "c3d-worker": [statistics.median(_column(ours[size], column)) for size in library],
                "the floor": [statistics.median(_column(bare[size], column)) for size in library],
            },
        )


async def _header_only(run: Run, harness: Harness, library: Mapping[int, Recording]) -> None:
    small, large = min(library), max(library)
    seconds: dict[int, list[float]] = defaultdict(list)
    received: dict[int, list[float]] = defaultdict(list)
    async with (
        Relay(harness.stack).serve() as relay,
        ready_worker(relay.stack, harness.folder, READ_MODE="header", **ROOM) as worker,
    ):
        for _ in range(run.sizes.rounds * HEADER_READS):
            for size in (small, large):
                await harness.clear()
                relay.reset()
                sessions = await harness.insert([library[size]], measured=True)
                await worker.until("session_claimed")
                claimed = time.perf_counter()
                seconds[size].append((await harness.written(sessions))[0] - claimed)
                await worker.until("session_done")
                received[size].append(relay.received / 1e6)
    for what, unit, values in (("time", "s", seconds), ("bytes received", "MB", received)):
        run.add(
            compared(
                f"READ_MODE=header, {what}, {large:,} MB",
                unit,
                values[large],
                values[small],
                f"the same worker with {small} MB",
                target=Target("ratio", 1.1),
            )
        )


async def _by_worker(harness: Harness, recording: Recording) -> tuple[float, float]:
    """Seconds from the claim to the visible row, and the peak memory of a fresh worker, in MB."""
    await harness.clear()
    async with ready_worker(harness.stack, harness.folder, **ROOM) as worker:
        await asyncio.sleep(SETTLE)
        async with watched(worker.process.pid) as peak:
            sessions = await harness.insert([recording])
            await worker.until("session_claimed")
            claimed = time.perf_counter()
            seconds = (await harness.written(sessions))[0] - claimed
        return seconds, peak.megabytes


async def _by_floor(harness: Harness, recording: Recording) -> tuple[float, float]:
    await harness.clear()
    sessions = await harness.insert([recording])
    async with floor(harness.stack) as bare, watched(bare.process.pid) as peak:
        await asyncio.sleep(SETTLE)
        claimed = time.perf_counter()
        await bare.work()
        seconds = (await harness.written(sessions))[0] - claimed
    return seconds, peak.megabytes


def _column(pairs: list[tuple[float, float]], number: int) -> list[float]:
    return [pair[number] for pair in pairs]
