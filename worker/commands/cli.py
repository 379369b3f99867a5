"""The commands people type. Nothing else knows the terminal."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console

from worker.commands.backfill import backfill_bucket
from worker.commands.check import check_installation
from worker.commands.entry import REFUSED, WRONG_CALL, extra, load
from worker.commands.migrations import FOLDER, migration_files, project, tell_written
from worker.commands.requeue import requeue
from worker.commands.retake import retake
from worker.commands.status import list_failed, show_status
from worker.errors import WorkerError
from worker.service.run import run as run_worker
from worker.settings import load_database_url

app = typer.Typer(
    name="c3d-worker",
    help="Gives every EMG therapy session uploaded to Supabase its technical row.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run a command; an error of this project is one sentence on stderr and exit code 2."""
    try:
        app()
    except WorkerError as error:
        Console(stderr=True).print(f"[bold red]{error.code}[/]: ", end="")
        print(error, file=sys.stderr)  # noqa: T201 - a terminal is what this module is for
        sys.exit(WRONG_CALL)


@app.callback(invoke_without_command=True)
def _options(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    if show_version:
        typer.echo(version("c3d-session-worker"))
        raise typer.Exit


@app.command()
def run() -> None:
    """Serve sessions until stopped: hear, claim, download, read, complete."""
    asyncio.run(run_worker(load(None)))


@app.command()
def ingest(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True)],
    *,
    patient: Annotated[
        str | None, typer.Option(help="The patient's code, which becomes the folder.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Upload what is no C3D recording, too.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the sessions to their end and print their rows.")
    ] = False,
) -> None:
    """Upload recordings and give each its session. What is known already is not sent again."""
    settings = load()
    from worker.commands.ingest import ingest_files  # noqa: PLC0415 - needs numpy

    if not asyncio.run(ingest_files(files, settings, Console(), patient, force=force, wait=wait)):
        raise typer.Exit(REFUSED)


@app.command()
def backfill() -> None:
    """Give every object in the bucket its session. Interrupted, it goes on where it ended."""
    settings = load()
    if not asyncio.run(backfill_bucket(settings, Console())):
        raise typer.Exit(REFUSED)


@app.command()
def show(session: Annotated[UUID, typer.Argument(help="The session's id.")]) -> None:
    """Print a session, its technical row and its channels' statistics, kept or computed anew."""
    settings = load(None)
    from worker.commands.show import show_session  # noqa: PLC0415 - needs numpy

    asyncio.run(show_session(settings, session, Console()))


@app.command()
def check(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at everything the worker needs, and name each cure; exit code 1 if something failed."""
    settings = load("ERROR")
    if not asyncio.run(check_installation(settings, Console(), as_json=as_json)):
        raise typer.Exit(REFUSED)


@app.command()
def status(
    *,
    failed: Annotated[
        bool, typer.Option("--failed", help="List the failed sessions, the newest first.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many of them.")] = 50,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every few seconds, until Ctrl-C.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with --watch one object a line.")
    ] = False,
) -> None:
    """Count what waits, what is done and what failed, and show what went wrong last."""
    settings = load()
    if failed and watch:
        raise typer.BadParameter("--failed and --watch do not go together.")
    if failed:
        asyncio.run(list_failed(settings, Console(), limit, as_json=as_json))
        return
    with suppress(KeyboardInterrupt):
        asyncio.run(show_status(settings, Console(), watch=watch, as_json=as_json))


app.command()(requeue)
app.command()(retake)


@app.command()
def inspect(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True)],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line instead of a table.")
    ] = False,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Read every sample as well, channel by channel.")
    ] = False,
) -> None:
    """Show what the worker would write for files on this machine. Needs no Supabase."""
    from worker.commands.inspect import inspect_files  # noqa: PLC0415 - needs numpy

    if not inspect_files(files, Console(), as_json=as_json, statistics=statistics):
        raise typer.Exit(REFUSED)


@app.command()
def plot(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True)],
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The picture, .png or .svg, or a folder for several."),
    ] = None,
) -> None:
    """Draw recordings: each channel over time. Needs no Supabase for files on this machine."""
    from worker.commands.plot import plot_files  # noqa: PLC0415 - needs numpy

    if not plot_files(files, out, Console()):
        raise typer.Exit(REFUSED)


@app.command()
def migrations(
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", file_okay=False, help=f"The folder ({FOLDER} otherwise); made if need be."
        ),
    ] = None,
    *,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Try them on SUPABASE_DB_URL and take everything back."),
    ] = False,
    without_locks: Annotated[
        bool,
        typer.Option("--without-locks", help="With --dry-run: only read, and keep nobody waiting."),
    ] = False,
) -> None:
    """Write the migrations for `supabase db push`, or see what they would do.

    No other file of their name is overwritten. A dry run ends with exit code 1 if one would stop,
    and with 2 if the database could not be asked.
    """
    if dry_run and to:
        raise typer.BadParameter("--dry-run and --to do not go together.")
    if without_locks and not dry_run:
        raise typer.BadParameter("--without-locks goes with --dry-run.")
    if dry_run:
        trial = extra("worker.commands.dry_run", "dry-run").dry_run(
            load_database_url(), migration_files(), Console(), only_read=without_locks
        )
        if not asyncio.run(trial):
            raise typer.Exit(REFUSED)
        return
    tell_written(to or FOLDER)


@app.command()
def local(
    *,
    data: Annotated[
        Path, typer.Option(help="Where the stack keeps its data; a second start finds it again.")
    ] = Path(".local-stack"),
    free_ports: Annotated[
        bool, typer.Option("--free-ports", help="Any free ports, not those of config.toml.")
    ] = False,
    env_file: Annotated[
        Path | None, typer.Option(help="Write the ready .env here as well.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="With --env-file: keep another file beside it as ….old."),
    ] = False,
    push: Annotated[
        bool, typer.Option("--push", help="Apply the migrations as well: `supabase db push`.")
    ] = False,
) -> None:
    """Start a Supabase without Docker and print a ready .env; Ctrl-C stops it."""
    serve = extra("worker.commands.local").serve_local
    asyncio.run(serve(data, free_ports=free_ports, env_file=env_file, force=force, push=push))


@app.command()
def demo(file: Annotated[Path | None, typer.Argument(exists=True, dir_okay=False)] = None) -> None:
    """Take one recording all the way, from upload to technical row, on a local stack."""
    show = extra("worker.commands.demo")
    if not asyncio.run(show.demo(file, project(), Console())):
        raise typer.Exit(REFUSED)
