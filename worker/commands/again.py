"""`requeue`, `retake` and `judge` as people type them; the modules of their names do the work."""

from __future__ import annotations

from typing import Annotated

import typer

from worker.commands.exits import REFUSED, done

OF_A_KIND = "With --failed or --migrated: only count."


def requeue(
    sessions: Annotated[
        list[str] | None, typer.Argument(metavar="SESSION", help="Named as for `show`.")
    ] = None,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    code: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="With --failed: only those of this error code."),
    ] = None,
    migrated: Annotated[
        bool, typer.Option("--migrated", help="All whose values come from the old system.")
    ] = False,
    reason: Annotated[
        str, typer.Option(metavar="WORDS", help="Why; it is kept with the session.")
    ] = "by hand",
    force: Annotated[
        bool, typer.Option("--force", help="With named ones: completed ones, too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=OF_A_KIND)] = False,
) -> None:
    """Have sessions read again: those named, or all of a kind.

    Exit code 1 if one of those named was not requeued.
    """
    if [bool(sessions), failed, migrated].count(True) != 1:
        raise typer.BadParameter("Name sessions, or give --failed or --migrated: one of the three.")
    if code and not failed:
        raise typer.BadParameter("--code goes with --failed.")
    if (force and not sessions) or (dry_run and sessions):
        raise typer.BadParameter(
            "--force goes with named sessions, --dry-run with --failed or --migrated."
        )
    from rich.console import Console

    from worker.backend.requeueing import Requeueable
    from worker.commands.entry import load
    from worker.commands.requeue import requeue_all, requeue_named

    settings = load()
    if sessions:
        if not done(requeue_named(settings, sessions, Console(), reason, force=force)):
            raise typer.Exit(REFUSED)
        return
    which = Requeueable.FAILED if failed else Requeueable.MIGRATED
    done(requeue_all(settings, which, Console(), reason, code, dry_run=dry_run))


def retake(
    objects: Annotated[
        list[str] | None,
        typer.Argument(metavar="OBJECT", help="Paths in the bucket, or ids of objects."),
    ] = None,
    *,
    refused: Annotated[bool, typer.Option("--refused", help="All that were refused.")] = False,
    code: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="With --refused: only those of this error code."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All that have an outcome: each is downloaded again.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
) -> None:
    """Have uploads taken in anew: those named, or all of a kind.

    Exit code 1 if one of those named was not found.
    """
    if [bool(objects), refused, every].count(True) != 1:
        raise typer.BadParameter("Give paths, or --refused, or --all: one of the three.")
    if code and not refused:
        raise typer.BadParameter("--code goes with --refused.")
    from rich.console import Console

    from worker.backend.queued_uploads import Retakeable
    from worker.commands.entry import load
    from worker.commands.retake import retake_all, retake_named

    settings = load()
    if objects:
        if not done(retake_named(settings, objects, Console(), dry_run=dry_run)):
            raise typer.Exit(REFUSED)
        return
    which = Retakeable.REFUSED if refused else Retakeable.ALL
    done(retake_all(settings, which, Console(), code, dry_run=dry_run))


def judge(
    *, limit: Annotated[int, typer.Option(min=1, help="How many sessions at most.")] = 100
) -> None:
    """Judge the channels of sessions that another version read.

    Each is downloaded again.
    """
    from rich.console import Console

    from worker.commands.entry import load
    from worker.commands.judge import judge_sessions

    settings = load()
    if not done(judge_sessions(settings, Console(), limit)):
        raise typer.Exit(REFUSED)
