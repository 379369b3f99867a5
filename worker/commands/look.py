"""`show` and `plot` as people type them; the modules of their names do the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worker.commands.exits import REFUSED, done


def show(
    session: Annotated[
        str, typer.Argument(metavar="SESSION", help="Its id, its path or the name of its file.")
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print a session, its technical row, channels and picture.

    The channels' statistics come from the cache, or are computed anew.
    """
    from rich.console import Console

    from worker.commands.entry import load
    from worker.commands.show import show_session

    settings = load("ERROR" if as_json else None)
    done(show_session(settings, session, Console(), as_json=as_json))


def plot(
    recordings: Annotated[
        list[str],
        typer.Argument(metavar="FILE|SESSION", help="Files of this machine, or sessions."),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PATH", help="The picture, .png or .svg, or a folder."),
    ] = None,
) -> None:
    """Draw each channel over time.

    Files of this machine need no Supabase. A session is named as for `show`. Exit code 1 if there
    is no picture of one.
    """
    from rich.console import Console

    from worker.commands.entry import load
    from worker.commands.plot import plot_files, plot_sessions
    from worker.errors import SettingError

    elsewhere = [each for each in recordings if not Path(each).is_file()]
    if not elsewhere:
        drawn = plot_files([Path(each) for each in recordings], out, Console())
    elif len(elsewhere) < len(recordings):
        raise typer.BadParameter(
            f"There is no file {elsewhere[0]} here. "
            "Give files of this machine or sessions, not both at once."
        )
    else:
        try:
            settings = load()
        except SettingError as error:
            raise SettingError(
                f"There is no file {elsewhere[0]} here. As a session: {error}"
            ) from None
        drawn = done(plot_sessions(settings, recordings, out, Console()))
    if not drawn:
        raise typer.Exit(REFUSED)
