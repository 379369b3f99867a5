"""Takes in every object of the bucket that has no session yet, once, from start to end.

It is the reconciliation with somebody looking on: what is done is in the table, so whatever
interrupts it, the next one goes on where it ended.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.backend.connection import connect
from worker.backend.installation import Installation
from worker.backend.object_store import ObjectStore
from worker.backend.queue_look import QueueLooks
from worker.backend.queue_report import QueueReports
from worker.backend.queued_uploads import UNFINISHED, ClaimedObject, IntakeBacklog, Outcome
from worker.intake.factory import make_intake, make_intake_loop
from worker.intake.reconciliation import Reconciliation
from worker.queueing.outage import OutageCheck
from worker.settings import Settings

NOTHING = IntakeBacklog(waiting=0, due=0, taking=0)
LOOK_SECONDS = 1.0  # between two looks at what other workers are taking in


@dataclass(slots=True)
class Backfilled:
    """How far a backfill has come."""

    total: int = 0  # uploads that waited or were being taken in when it began
    backlog: IntakeBacklog = NOTHING  # after the last pass
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    requeued: int = 0  # sessions that were there, and are read again


async def backfill(settings: Settings, show: Callable[[Backfilled], None]) -> Backfilled:
    """Take in what is left, and wait for what other workers are taking in.

    Args:
        settings: CONCURRENCY says how many objects at once.
        show: called whenever something has changed.

    Raises:
        UnavailableError: Supabase is in trouble; called again, it goes on from here.
    """
    done = Backfilled()
    async with connect(settings) as connection:
        intake = make_intake(connection, settings)
        outage = OutageCheck(
            ObjectStore(connection, settings.c3d_bucket),
            QueueReports(connection.supabase),
            Installation(connection),
        )
        reconciliation = Reconciliation(intake.queue, lambda: None, every_seconds=0)
        looks = QueueLooks(
            connection.supabase, intake.queue.bucket, every_file=intake.queue.every_file
        )
        reconciliation.note(await looks.look())
        await reconciliation.reconcile()

        handled = 0  # uploads, whatever became of them

        async def take(claimed: ClaimedObject) -> None:
            nonlocal handled
            result = await intake.take(claimed)
            handled += 1
            if result.outcome not in UNFINISHED:
                done.outcomes[result.outcome] += 1
                done.requeued += result.requeued
            show(done)

        while True:
            done.backlog = await intake.queue.backlog()
            done.total = max(done.total, done.outcomes.total() + done.backlog.unfinished)
            show(done)
            if not done.backlog.due and not done.backlog.taking:
                return done
            taken = handled
            if done.backlog.due:
                await make_intake_loop(intake, settings, take, outage=outage).drain()
            if handled == taken:  # another worker has the rest, or had until it was killed
                await asyncio.sleep(LOOK_SECONDS)
