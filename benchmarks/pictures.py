"""What a picture costs: time, memory and bytes of one, and the rate of a backlog with and without.

The rate is that of the sessions: their pictures come after them, as fast as the machine then can.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

from benchmarks.backlog import worked_off
from benchmarks.harness import sessions_of_the_game
from benchmarks.measurement import Measurement, Target, compared, in_turn
from benchmarks.run import Run

CHANNELS = (4, 64)
# Prints the median milliseconds of a picture, by how many MB it makes a process grow, and its kB.
MEASURE = """
import json, pathlib, statistics, sys, time
import numpy as np
from worker.extraction.running_envelope import RunningEnvelope
def peak():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
channels = int(sys.argv[1])
running = RunningEnvelope(channels, 60_000)
for _ in range(12):
    running.add(np.random.default_rng(1).standard_normal((channels, 5000)))
envelope = running.finish(["CH1 Raw"] * channels, ["mV"] * channels, 1000.0)
before, times = peak(), []
import importlib
from worker.drawing.picture import draw
make = getattr(importlib.import_module("worker.drawing." + sys.argv[2]), sys.argv[3])
for _ in range(10):
    started = time.perf_counter()
    picture = draw(envelope, "Session", make)
    times.append(time.perf_counter() - started)
print(json.dumps([statistics.median(times) * 1e3, peak() - before, len(picture) / 1e3]))
"""


async def measure(run: Run) -> None:
    """Draw, then compare two workers."""
    for channels in CHANNELS:
        png = await asyncio.to_thread(_drawn, channels, "raster.Raster")
        svg = await asyncio.to_thread(_drawn, channels, "vector.Vector")
        for what, unit, ours, other in zip(
            ("a picture of", "its memory,", "its file,"), ("ms", "MB", "kB"), png, svg, strict=True
        ):
            name = f"{what} {channels} channels"
            run.add(Measurement(name, ours, other, unit, "the same as SVG, without a library"))
    harness = await run.harness()
    contents = sessions_of_the_game(run.sizes.session_seconds)
    recordings = await harness.recordings("drawn", contents, run.sizes.backlog)
    on, off = await in_turn(
        run.sizes.rounds,
        lambda: worked_off(harness, recordings, PREVIEWS="on"),
        lambda: worked_off(harness, recordings),
    )
    run.add(
        compared(
            "backlog with pictures",
            "sessions/s",
            on,
            off,
            "the same worker with PREVIEWS=off",
            target=Target("ratio", 0.5, at_least=True),
        )
    )


def _drawn(channels: int, canvas: str) -> tuple[float, float, float]:
    """Return milliseconds, MB and kB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(channels), *canvas.split(".")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    milliseconds, megabytes, kilobytes = json.loads(done.stdout)
    return milliseconds, megabytes, kilobytes
