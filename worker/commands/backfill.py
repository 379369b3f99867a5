"""`c3d-worker backfill`: sessions for the whole bucket, with a progress bar."""

from __future__ import annotations

from rich.console import Console

from worker.commands.terminal import backfilled, counting
from worker.intake.backfill import Backfilled, backfill
from worker.settings import Settings


async def backfill_bucket(settings: Settings, console: Console) -> bool:
    """Give every object its session, and return whether none has to wait.

    Raises:
        UnavailableError: as `backfill`.
    """
    with counting(console) as bar:
        task = bar.add_task("objects")

        def show(done: Backfilled) -> None:
            bar.update(task, completed=done.outcomes.total(), total=done.total)

        done = await backfill(settings, show)
    console.print(backfilled(done), highlight=False)
    return not done.backlog.waiting
