"""The commands people type. Nothing else knows the terminal."""

from __future__ import annotations

import asyncio
import importlib
import json
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console

from worker.backend.connection import connect
from worker.backend.metadata_service import MetadataService, Requeued
from worker.backfill import Backfilled
from worker.backfill import backfill as run_backfill
from worker.errors import C3DError, StackError, WorkerError
from worker.project import FOLDER, project, write_migrations
from worker.run import run as run_worker
from worker.settings import Settings, load_settings
from worker.telemetry import configure_logs
from worker.terminal import backfilled, counting

REFUSED, WRONG_CALL = 1, 2  # exit codes

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
    settings = load_settings()
    configure_logs(settings)
    asyncio.run(run_worker(settings))


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
    settings = load_settings()
    _quiet(settings)
    from worker.ingest_command import ingest_files  # noqa: PLC0415 - needs numpy

    if not asyncio.run(ingest_files(files, settings, Console(), patient, force=force, wait=wait)):
        raise typer.Exit(REFUSED)


@app.command()
def backfill() -> None:
    """Give every object in the bucket its session. Interrupted, it goes on where it ended."""
    settings = load_settings()
    _quiet(settings)
    console = Console()
    with counting(console) as bar:
        task = bar.add_task("objects")

        def show(done: Backfilled) -> None:
            said = f"objects ({done.held} in other hands)" if done.held else "objects"
            completed = done.outcomes.total()
            total = max(done.total, completed)
            bar.update(task, description=said, completed=completed, total=total)

        done = asyncio.run(run_backfill(settings, show))
    console.print(backfilled(done), highlight=False)
    if done.waiting:
        raise typer.Exit(REFUSED)


@app.command()
def show(session: Annotated[UUID, typer.Argument(help="The session's id.")]) -> None:
    """Print a session, its technical row and its channels' statistics, kept or computed anew."""
    settings = load_settings()
    configure_logs(settings)
    from worker.show_command import show_session  # noqa: PLC0415 - needs numpy

    asyncio.run(show_session(settings, session, Console()))


@app.command()
def requeue(
    sessions: Annotated[list[UUID], typer.Argument(help="The sessions' ids.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the session.")] = "by hand",
    force: Annotated[bool, typer.Option("--force", help="Completed ones, too.")] = False,
) -> None:
    """Have failed sessions tried again; exit code 1 if one was not."""
    settings = load_settings()

    async def all_of_them() -> list[Requeued]:
        async with connect(settings) as connection:
            service = MetadataService(connection.supabase)
            return [await service.requeue(id_, reason=reason, force=force) for id_ in sessions]

    outcomes = asyncio.run(all_of_them())
    for session, outcome in zip(sessions, outcomes, strict=True):
        typer.echo(f"{session}: {outcome}")
    if set(outcomes) != {Requeued.PENDING}:
        raise typer.Exit(REFUSED)


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
    # Imported here because they need numpy, which `run` leaves to its children.
    from worker.display import channels, recording  # noqa: PLC0415
    from worker.inspection import inspect_file  # noqa: PLC0415

    inspected = [inspect_file(path, statistics=statistics) for path in files]
    if as_json:
        for each in inspected:
            typer.echo(json.dumps(each.as_json(), ensure_ascii=False))
    else:
        for each in inspected:
            Console().print(recording(each))
            if each.statistics:
                Console().print(channels(each.statistics))
    if any(isinstance(each.found, C3DError) for each in inspected):
        raise typer.Exit(REFUSED)


@app.command()
def migrations(
    to: Annotated[
        Path, typer.Option("--to", file_okay=False, help="The folder; made if need be.")
    ] = FOLDER,
) -> None:
    """Write the migrations for `supabase db push`. No other file of their name is overwritten."""
    written = write_migrations(to)
    for path in written.new:
        typer.echo(path)
    typer.echo(f"{len(written.new)} written, {len(written.there_already)} were there already.")
    if to.resolve().parts[-2:] == FOLDER.parts:
        home = shlex.quote(str(to.resolve().parent.parent))
        typer.echo(f"Next: cd {home} && supabase link && supabase db push")
    else:
        typer.echo(f"Next: copy them into {FOLDER} of your project, and there: supabase db push")


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
) -> None:
    """Start a Supabase without Docker and print a ready .env; Ctrl-C stops it."""
    stack = _extra("worker.local.stack")
    ports = stack.Ports(0, 0) if free_ports else stack.configured_ports(project())

    def ready(info: Any) -> None:
        if env_file:
            env_file.write_text(info.env(), encoding="utf-8")
        typer.echo(info.env())
        typer.echo("Ready. Ctrl-C stops it.", err=True)

    asyncio.run(
        stack.serve(data, ports, ready=ready, report=lambda line: typer.echo(line, err=True))
    )


@app.command()
def demo(file: Annotated[Path | None, typer.Argument(exists=True, dir_okay=False)] = None) -> None:
    """Take one recording all the way, from upload to technical row, on a local stack."""
    show = _extra("worker.demo")
    if not asyncio.run(show.demo(file, project(), Console())):
        raise typer.Exit(REFUSED)


def _quiet(settings: Settings) -> None:
    """Log only what is wrong: the command itself says what was done."""
    configure_logs(settings.model_copy(update={"log_level": "WARNING"}))


def _extra(module: str) -> Any:
    """Import what the worker itself does without."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise StackError(
            f"The local stack needs {error.name}. "
            "Install it with `pip install 'c3d-session-worker[local]'`."
        ) from None
