"""How long the local stack takes to start."""

from __future__ import annotations

import time

from benchmarks.measurement import compared
from benchmarks.run import Run
from worker.local.stack import Ports, local_stack


async def measure(run: Run) -> None:
    """Compare a start on an empty folder with one on kept data."""
    cold: list[float] = []
    warm: list[float] = []
    for number in range(run.sizes.rounds):
        folder = run.subfolder(f"start-{number}")
        for seconds in (cold, warm):
            started = time.perf_counter()
            async with local_stack(folder, Ports(0, 0), lambda _: None):
                seconds.append(time.perf_counter() - started)
    run.add(compared("start of the local stack", "s", cold, warm, "a second start, data kept"))
