"""`c3d-worker backfill`: sessions for the whole bucket, with a progress bar."""

from __future__ import annotations

from rich.console import Console

from worker.commands.terminal import backfilled, counting
from worker.intake.backfill import Backfilled, backfill
from worker.settings import Settings


async def backfill_bucket(settings: Settings, console: Console) -> bool:
    """Create the session of every object, and return whether no object had to be released.

    Raises:
        UnavailableError: as `backfill`.
    """
    with counting(console) as bar:
        task = bar.add_task("objects")

        def show(done: Backfilled) -> None:
            said = f"objects ({done.held} in other hands)" if done.held else "objects"
            completed = done.outcomes.total()
            total = max(done.total, completed)
            bar.update(task, description=said, completed=completed, total=total)

        done = await backfill(settings, show)
    console.print(backfilled(done), highlight=False)
    return not done.waiting
