"""`c3d-worker requeue`: sessions to be read again, by their ids or all of a kind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from rich.console import Console

from worker.backend.connection import connect
from worker.backend.requeueing import Requeueable, Requeued, Requeueing
from worker.commands.codes import refuse_unknown
from worker.reports.finding import find_session
from worker.settings import Settings


async def requeue_named(
    settings: Settings, sessions: Sequence[str], console: Console, reason: str, *, force: bool
) -> bool:
    """Requeue sessions, each named as for `show`, and print the outcome of each.

    Returns:
        Whether all of them are pending.

    Raises:
        SessionUnknownError: there is none of that name, or several; none was requeued.
        UnavailableError: Supabase is unavailable; the call can be repeated.
    """
    slots = asyncio.Semaphore(settings.concurrency)
    async with connect(settings) as connection:
        service = Requeueing(connection.supabase)

        async def one(session: UUID) -> Requeued:
            async with slots:
                return await service.one(session, reason=reason, force=force)

        bucket = settings.c3d_bucket
        ids = [await find_session(connection, said, bucket=bucket) for said in sessions]
        outcomes = await asyncio.gather(*map(one, ids))
    why = {
        Requeued.PENDING: f"read within {settings.poll_seconds:g} s by a worker that is free",
        Requeued.REFUSED: "as it is being read or skipped, or completed: --force reads that again",
        Requeued.MISSING: "no session has this id",
        Requeued.LOCKED: "another program has locked its row: try again",
    }
    for session, outcome in zip(ids, outcomes, strict=True):
        console.out(f"{session}: {outcome}, {why[outcome]}", highlight=False)
    requeued = outcomes.count(Requeued.PENDING)
    if len(sessions) > 1:
        console.out(f"{requeued:,} of {len(sessions):,} sessions are pending.", highlight=False)
    return requeued == len(sessions)


async def requeue_all(
    settings: Settings,
    which: Requeueable,
    console: Console,
    reason: str,
    code: str | None,
    *,
    dry_run: bool,
) -> None:
    """Requeue all sessions of a kind, or with `dry_run` count them, and print how many.

    Raises:
        UnavailableError: Supabase is unavailable; a second run requeues the rest.
        BadParameter: no session has the code, and this version does not know it.
    """
    requeued, last = 0, None
    async with connect(settings) as connection:
        service = Requeueing(connection.supabase)
        with console.status("requeueing"):
            while True:
                number, last = await service.some(
                    which, reason=reason, code=code, after=last, dry_run=dry_run
                )
                requeued += number
                if last is None:
                    break
    if code and not requeued:
        refuse_unknown(code)
    sessions = "session" if requeued == 1 else "sessions"
    of_code = f" of {code}" if code else ""
    done = "would be requeued" if dry_run else "requeued"
    console.out(f"{requeued:,} {which} {sessions}{of_code} {done}.", highlight=False)
