"""Takes in every object of the bucket that has no session yet, once, from start to end.

It is the sweep with somebody looking at it: what is done is in the table, so whatever interrupts
it, the next one goes on where it ended.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.backend.connection import connect
from worker.backend.intake_register import IntakeResult, Outcome
from worker.errors import WorkerError
from worker.intake.bucket_sweep import BucketSweep
from worker.intake.factory import make_intake, make_sweep
from worker.settings import Settings

MAX_BARREN = 3  # passes in a row through which nothing gets
LOOK_AGAIN = 1.0  # seconds, while other workers have the rest in hand


@dataclass(slots=True)
class Backfilled:
    """How far a backfill has come."""

    total: int  # objects without an outcome when it began, in other workers' hands included
    waiting: int = 0  # after the last pass
    held: int = 0  # by other workers, after the last pass
    outcomes: Counter[Outcome] = field(default_factory=Counter)


async def backfill(settings: Settings, show: Callable[[Backfilled], None]) -> Backfilled:
    """Take in what is left, and wait for what other workers have in hand.

    Args:
        settings: CONCURRENCY says how many objects at once.
        show: called whenever something has changed.

    Raises:
        UnavailableError: Supabase is in trouble; called again, it goes on from here.
    """
    async with connect(settings) as connection:
        intake = make_intake(connection, settings)
        sweep = make_sweep(intake, settings)
        left = await intake.register.left()
        done = Backfilled(left.waiting + left.held)
        show(done)

        def on_taken(taken: IntakeResult) -> None:
            done.outcomes[taken.outcome] += 1
            show(done)

        while left.waiting or left.held:
            taken = await _to_the_end(sweep, on_taken)
            left = await intake.register.left()
            done.waiting, done.held = left.waiting, left.held
            show(done)
            if not taken and not left.held:
                break  # what is left was tried and given back: the log says why
            if left.held:  # another worker's, or one's that was killed: its reservation runs out
                await asyncio.sleep(LOOK_AGAIN)
    return done


async def _to_the_end(sweep: BucketSweep, on_taken: Callable[[IntakeResult], None]) -> int:
    """Sweep the whole bucket, past what cannot be taken in; raise that trouble at the end.

    Trouble that nothing gets through is everybody's, and raised at once.
    """
    trouble: WorkerError | None = None
    taken, barren = 0, 0

    def count(one: IntakeResult) -> None:
        nonlocal taken
        taken += 1
        on_taken(one)

    while True:
        before = taken
        try:
            await sweep.sweep(count)
        except WorkerError as error:
            trouble = error
        barren = 0 if taken > before else barren + 1
        if not sweep.behind or barren == MAX_BARREN:
            break
    if trouble:
        raise trouble
    return taken
