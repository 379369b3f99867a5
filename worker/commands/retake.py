"""`c3d-worker retake`: uploads taken in anew, by their paths or all of a kind."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from worker.backend.connection import connect
from worker.backend.queued_uploads import Retakeable
from worker.commands.codes import refuse_unknown
from worker.intake.factory import make_intake
from worker.settings import Settings


async def retake_named(
    settings: Settings, objects: Sequence[str], console: Console, *, dry_run: bool
) -> bool:
    """Have the uploads at these paths, or of these object ids, taken in anew.

    Returns:
        Whether each of them was found.

    Raises:
        UnavailableError: Supabase is in trouble; run again, it retakes those that are left.
    """
    well, done = True, _done(settings, dry_run=dry_run)
    async with connect(settings) as connection:
        queue = make_intake(connection, settings).queue
        for each in objects:
            retaken = await queue.retake_named(each, dry_run=dry_run)
            said = done if retaken else "not found, or being taken in"
            console.out(f"{each}: {said}", highlight=False)
            well = well and retaken > 0
    return well


async def retake_all(
    settings: Settings, which: Retakeable, console: Console, code: str | None, *, dry_run: bool
) -> None:
    """Have all uploads of a kind taken in anew, and say how many those were.

    Raises:
        UnavailableError: Supabase is in trouble; run again, it retakes those that are left.
        BadParameter: no upload has the code, and this version does not know it.
    """
    retaken = 0
    async with connect(settings) as connection:
        queue = make_intake(connection, settings).queue
        with console.status("retaking"):
            async for number in queue.retake(which, code=code, dry_run=dry_run):
                retaken += number
    if code and not retaken:
        refuse_unknown(code)
    uploads = "upload" if retaken == 1 else "uploads"
    kind = "refused " if which is Retakeable.REFUSED else ""
    of_code = f" of {code}" if code else ""
    done = _done(settings, dry_run=dry_run)
    console.out(f"{retaken:,} {kind}{uploads}{of_code} {done}.", highlight=False)


def _done(settings: Settings, *, dry_run: bool) -> str:
    if dry_run:
        return "would be taken in anew"
    return f"taken in anew within {settings.poll_seconds:g} s by a worker that is free"
