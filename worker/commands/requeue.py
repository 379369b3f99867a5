"""`c3d-worker requeue`: sessions to be read again, by their ids or all of a kind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console

from worker.backend.connection import connect
from worker.backend.requeueing import Requeueable, Requeued, Requeueing
from worker.commands.entry import REFUSED, load
from worker.settings import Settings


def requeue(
    sessions: Annotated[list[UUID] | None, typer.Argument(help="The sessions' ids.")] = None,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    code: Annotated[
        str | None, typer.Option(help="With --failed: only those of this error code.")
    ] = None,
    migrated: Annotated[
        bool, typer.Option("--migrated", help="All whose values come from the old system.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the session.")] = "by hand",
    force: Annotated[bool, typer.Option("--force", help="With ids: completed ones, too.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --failed or --migrated: only count.")
    ] = False,
) -> None:
    """Requeue sessions: those named, or all of a kind; exit code 1 if one was not."""
    if [bool(sessions), failed, migrated].count(True) != 1:
        raise typer.BadParameter("Give ids, or --failed, or --migrated: one of the three.")
    if code and not failed:
        raise typer.BadParameter("--code goes with --failed.")
    if (force and not sessions) or (dry_run and sessions):
        raise typer.BadParameter("--force goes with ids, --dry-run with --failed or --migrated.")
    settings = load()
    if sessions:
        if not asyncio.run(requeue_named(settings, sessions, Console(), reason, force=force)):
            raise typer.Exit(REFUSED)
        return
    which = Requeueable.FAILED if failed else Requeueable.MIGRATED
    asyncio.run(requeue_all(settings, which, Console(), reason, code, dry_run=dry_run))


async def requeue_named(
    settings: Settings, sessions: Sequence[UUID], console: Console, reason: str, *, force: bool
) -> bool:
    """Requeue the sessions with these ids, several at once, and print the outcome of each.

    Returns:
        Whether all of them are pending.

    Raises:
        UnavailableError: Supabase is unavailable; the call can be repeated.
    """
    slots = asyncio.Semaphore(settings.concurrency)
    async with connect(settings) as connection:
        service = Requeueing(connection.supabase)

        async def one(session: UUID) -> Requeued:
            async with slots:
                return await service.one(session, reason=reason, force=force)

        outcomes = await asyncio.gather(*map(one, sessions))
    for session, outcome in zip(sessions, outcomes, strict=True):
        console.out(f"{session}: {outcome}", highlight=False)
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
    sessions = "session" if requeued == 1 else "sessions"
    of_code = f" of {code}" if code else ""
    done = "would be requeued" if dry_run else "requeued"
    console.out(f"{requeued:,} {which} {sessions}{of_code} {done}.", highlight=False)
