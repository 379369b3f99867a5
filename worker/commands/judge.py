"""`c3d-worker judge`: verdicts for sessions that were read before there were any."""

from __future__ import annotations

from rich.console import Console

from worker.commands.terminal import refusal, tell
from worker.reports.judging import judge_older
from worker.settings import Settings


async def judge_sessions(settings: Settings, console: Console, limit: int) -> bool:
    """Compute statistics anew, `limit` at most, and return whether none failed.

    Raises:
        UnavailableError: Supabase is in trouble; run again, it goes on with those that are left.
    """
    done = failed = 0
    async for judged in judge_older(settings, limit):
        if judged.error is None:
            done += 1
        else:
            failed += 1
            tell(console, refusal(str(judged.session), judged.error))
    left = " There may be more: run it again." if done == limit else ""
    console.print(f"{done:,} judged, {failed:,} could not be.{left}", highlight=False)
    return not failed
