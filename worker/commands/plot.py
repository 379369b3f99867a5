"""`c3d-worker plot`: pictures of recordings, as files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import typer
from rich.console import Console

from worker.backend.connection import connect
from worker.commands.terminal import refusal, tell
from worker.errors import PermanentError
from worker.extraction.errors import C3DError
from worker.reports.finding import find_session
from worker.reports.judging import reader
from worker.reports.plotting import KINDS, plotted_file, plotted_session
from worker.settings import Settings


def plot_files(files: Sequence[Path], out: Path | None, console: Console) -> bool:
    """Draw each file, print where its picture is, and return whether all have one.

    Raises:
        OSError: a file cannot be read.
    """
    drawn = 0
    for path, target in zip(files, targets([each.stem for each in files], out), strict=True):
        try:
            drawn += write(target, plotted_file(path, target.suffix.lower()), console)
        except C3DError as error:
            tell(console, refusal(path.name, error))
    return drawn == len(files)


async def plot_sessions(
    settings: Settings, sessions: Sequence[str], out: Path | None, console: Console
) -> bool:
    """Draw each session from its recording, as `plot_files`; each is named as for `show`.

    Raises:
        SessionUnknownError: there is none of that name, or several.
        UnavailableError: Supabase is unavailable.
    """
    drawn = 0
    async with connect(settings) as connection:
        bucket = settings.c3d_bucket
        ids = [await find_session(connection, said, bucket=bucket) for said in sessions]
        with reader(settings, envelope=True) as isolation:
            for session, target in zip(ids, targets(list(map(str, ids)), out), strict=True):
                try:
                    picture = await plotted_session(
                        connection, settings, session, isolation, target.suffix.lower()
                    )
                except PermanentError as error:
                    tell(console, refusal(str(session), error))
                else:
                    drawn += write(target, picture, console)
    return drawn == len(ids)


def targets(names: Sequence[str], out: Path | None) -> list[Path]:
    """Return where the picture of each name goes.

    `out` is the picture itself, or the folder of them all; without it they go into this folder.
    """
    if out is None or out.is_dir():
        return [(out or Path()) / f"{name}.png" for name in names]
    if not out.suffix:
        raise typer.BadParameter(f"There is no folder {out}. Make it first.")
    if out.suffix.lower() not in KINDS:
        raise typer.BadParameter("--out must end in .png or .svg, or be a folder.")
    if len(names) > 1:
        raise typer.BadParameter("--out must be a folder where several are drawn.")
    if not out.parent.is_dir():
        raise typer.BadParameter(f"There is no folder {out.parent}. Make it first.")
    return [out]


def write(target: Path, picture: bytes, console: Console) -> bool:
    """Write a picture, whole or not at all, and print where it is, or why it is nowhere."""
    partial = target.with_name(f".{target.name}.part")
    try:
        partial.write_bytes(picture)
        partial.replace(target)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        tell(console, f"{target} cannot be written: {error.strerror}.")
        return False
    console.print(target, markup=False, highlight=False, soft_wrap=True)
    return True
