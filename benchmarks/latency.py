"""How long one session waits that arrives alone: from its insert to its visible row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks.actors import ready_worker, rival
from benchmarks.harness import Harness, Recording, sessions_of_the_game
from benchmarks.measurement import Measurement, Target, percentile
from benchmarks.pauses import SETTLE, pauses
from benchmarks.run import Run

PERCENTILES = {50: 1.3, 95: 2.0}  # and the target of each


async def measure(run: Run) -> None:
    """Compare with what cannot be avoided: Realtime's delivery and three requests."""
    harness = await run.harness()
    contents = sessions_of_the_game(run.sizes.session_seconds)
    recordings = await harness.recordings("alone", contents, run.sizes.singles)
    ours: list[float] = []
    other: list[float] = []
    for _ in range(run.sizes.rounds):
        async with ready_worker(harness.stack, harness.folder):
            ours += await _one_after_another(harness, recordings)
        async with rival(harness.stack, "bare_listener"):
            other += await _one_after_another(harness, recordings)
    for percent, bound in PERCENTILES.items():
        run.add(
            Measurement(
                name=f"insert → visible row, p{percent}",
                ours=percentile(ours, percent) * 1e3,
                other=percentile(other, percent) * 1e3,
                unit="ms",
                other_is="Realtime's delivery and three bare requests, nothing read",
                target=Target("ratio", bound),
                ours_range=(min(ours) * 1e3, max(ours) * 1e3),
                other_range=(min(other) * 1e3, max(other) * 1e3),
                note=f"{len(ours)} sessions each",
            )
        )


async def _one_after_another(harness: Harness, recordings: Sequence[Recording]) -> list[float]:
    await harness.clear()
    await asyncio.sleep(SETTLE)
    waits = []
    for recording, pause in zip(recordings, pauses(len(recordings)), strict=True):
        await asyncio.sleep(pause)
        sessions = await harness.insert([recording])
        inserted = time.perf_counter()
        waits.append((await harness.written(sessions))[0] - inserted)
    return waits
