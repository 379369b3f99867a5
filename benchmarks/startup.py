"""How long a command takes to begin, beside Python that only imports what reads a recording."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measurement import Measurement, Target
from benchmarks.run import Run
from worker.local.recordings import ghostly_recording

PLAIN = [sys.executable, "-c", "import c3d, numpy"]
PLAIN_IS = 'python -c "import c3d, numpy"'
WORKER = [sys.executable, "-m", "worker"]


async def measure(run: Run) -> None:
    """Start each in turn, so that what else the machine does meets both."""
    recording = run.subfolder("startup") / "session.c3d"
    recording.write_bytes(ghostly_recording(seconds=run.sizes.session_seconds))
    for name, arguments, target in (
        ("--version", ["--version"], 0.15),
        ("inspect of a recording", ["inspect", str(recording)], 0.6),
    ):
        ours, plain = await asyncio.to_thread(_in_turn, arguments, run.sizes.reads)
        run.add(
            Measurement(
                f"start: {name}",
                statistics.median(ours),
                statistics.median(plain),
                "s",
                PLAIN_IS,
                Target("ours", target),
                ours_range=(min(ours), max(ours)),
                other_range=(min(plain), max(plain)),
                note="from the start of the process to its end",
            )
        )


def _in_turn(arguments: Sequence[str], times: int) -> tuple[list[float], list[float]]:
    """Return the seconds of each start: of the worker's command, and of Python alone."""
    both: tuple[list[float], list[float]] = [], []
    for _ in range(times):
        for seconds, command in zip(both, ([*WORKER, *arguments], PLAIN), strict=True):
            seconds.append(_seconds(command))
    return both


def _seconds(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=Path("/"))
    return time.perf_counter() - started
