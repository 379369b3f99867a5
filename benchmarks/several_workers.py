"""Workers beside each other while Storage is slow to answer."""

from __future__ import annotations

import statistics
from functools import partial

from benchmarks.backlog import worked_off
from benchmarks.measurement import Series, Target, compared, in_turn
from benchmarks.relay import Relay
from benchmarks.run import Run
from worker.local.recordings import ghostly_recording

ANSWER_SECONDS = 0.05
SHORT = 0.5  # seconds of recording: the waiting is measured, not the two cores that all share


async def measure(run: Run) -> None:
    """Compare several workers with one."""
    harness = await run.harness()
    counts = run.sizes.workers
    contents = [ghostly_recording(SHORT)]
    recordings = await harness.recordings("late", contents, run.sizes.late_backlog * max(counts))
    async with Relay(harness.stack, object_delay=ANSWER_SECONDS).serve() as relay:
        found = await in_turn(
            run.sizes.rounds,
            *(
                partial(
                    worked_off,
                    harness,
                    recordings[: run.sizes.late_backlog * count],
                    relay,
                    workers=count,
                )
                for count in counts
            ),
        )
    rates = dict(zip(counts, found, strict=True))
    run.add(
        compared(
            f"two workers, Storage answers after {ANSWER_SECONDS * 1e3:.0f} ms",
            "sessions/s",
            rates[2],
            rates[1],
            "one worker",
            target=Target("ratio", 1.6, at_least=True),
            note=f"recordings of {SHORT:g} s",
        )
    )
    run.series["workers"] = Series(
        title=f"Storage answers after {ANSWER_SECONDS * 1e3:.0f} ms: sessions a second",
        x_is="workers",
        y_is="sessions a second",
        x=counts,
        lines={
            "c3d-worker": [statistics.median(rates[count]) for count in counts],
            "proportional": [statistics.median(rates[1]) * count for count in counts],
        },
        logarithmic=False,
    )
