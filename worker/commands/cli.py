"""The commands people type. Each imports what it needs when it runs, so that it begins at once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from worker.commands.again import judge, requeue, retake
from worker.commands.exits import REFUSED, done, ending, extra
from worker.commands.look import plot, show
from worker.commands.migrations import FOLDER, migration_files, project, tell_written


def regular(files: list[Path] | Path | None) -> list[Path] | Path | None:
    """Accept files that have an end and can be read twice: no pipe, no device."""
    for file in files if isinstance(files, list) else [files] if files else []:
        if not file.is_file():
            raise typer.BadParameter(f"{file} is not a file but a pipe or a device.")
    return files


Recordings = Annotated[
    list[Path],
    typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, callback=regular),
]

app = typer.Typer(
    name="c3d-worker",
    help="Gives every EMG therapy session uploaded to Supabase its technical row.",
    epilog="Begin with `c3d-worker check`: it names what is missing. Then `c3d-worker run`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text, which a pipe and a screen of 80 columns take as it is
)


def main() -> None:
    """Run a command, and end with its exit code."""
    ending(app)


@app.callback(invoke_without_command=True)
def _options(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    if show_version:
        from importlib.metadata import version

        typer.echo(version("c3d-session-worker"))
        raise typer.Exit


@app.command()
def run() -> None:
    """Process sessions until stopped."""
    from worker.commands.run import run_worker

    run_worker()


@app.command(epilog="Example: c3d-worker ingest *.c3d --patient P005 --wait")
def ingest(
    files: Recordings,
    *,
    patient: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="The patient's code, which becomes the folder."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Upload what is no C3D recording, too.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the sessions to their end and print their rows.")
    ] = False,
) -> None:
    """Upload recordings and give each its session.

    What is known already is not sent again. Exit code 1 if a file has no session, or is the
    recording of another patient.
    """
    from rich.console import Console

    from worker.commands.entry import load
    from worker.commands.ingest import ingest_files

    settings = load()
    if not done(ingest_files(files, settings, Console(), patient, force=force, wait=wait)):
        raise typer.Exit(REFUSED)


@app.command()
def backfill() -> None:
    """Give every object in the bucket its session.

    Interrupted, it goes on where it ended. Exit code 1 if an upload has to wait.
    """
    from rich.console import Console

    from worker.commands.backfill import backfill_bucket
    from worker.commands.entry import load

    settings = load()
    if not done(backfill_bucket(settings, Console())):
        raise typer.Exit(REFUSED)


app.command(epilog="Example: c3d-worker show session.c3d")(show)


@app.command()
def check(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at everything the worker needs, and name each cure.

    Exit code 1 if something failed.
    """
    from rich.console import Console

    from worker.commands.check import check_installation
    from worker.commands.entry import load

    settings = load("ERROR")
    if not done(check_installation(settings, Console(), as_json=as_json)):
        raise typer.Exit(REFUSED)


@app.command(epilog="Example: c3d-worker status --failed --limit 500 --json")
def status(
    *,
    failed: Annotated[
        bool, typer.Option("--failed", help="List the failed sessions, the newest first.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="How many of them.")] = 50,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every few seconds, until Ctrl-C.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with --watch one object a line.")
    ] = False,
) -> None:
    """Count what waits, is done and failed; show the last errors."""
    if failed and watch:
        raise typer.BadParameter("--failed and --watch do not go together.")
    from rich.console import Console

    from worker.commands.entry import load
    from worker.commands.status import list_failed, show_status

    settings = load()
    if failed:
        done(list_failed(settings, Console(), limit, as_json=as_json))
        return
    with suppress(KeyboardInterrupt):
        done(show_status(settings, Console(), watch=watch, as_json=as_json))


app.command()(judge)
app.command(epilog="Example: c3d-worker requeue --failed --code file_too_large")(requeue)
app.command(epilog="Example: c3d-worker retake P005/session.c3d")(retake)


@app.command(epilog="Example: c3d-worker inspect --statistics session.c3d")
def inspect(
    files: Recordings,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line instead of a table.")
    ] = False,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Read every sample as well, channel by channel.")
    ] = False,
) -> None:
    """Show what the worker would write for files on this machine.

    Needs no Supabase. Exit code 1 if a file was refused.
    """
    from rich.console import Console

    from worker.commands.inspect import inspect_files

    if not inspect_files(files, Console(), as_json=as_json, statistics=statistics):
        raise typer.Exit(REFUSED)


app.command(epilog="Example: c3d-worker plot recording.c3d --out picture.svg")(plot)


@app.command(epilog="Example: c3d-worker migrations --dry-run")
def migrations(
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FOLDER",
            file_okay=False,
            help=f"The folder ({FOLDER} otherwise); made if need be.",
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
    """Write the migrations, or see what they would do.

    No other file of their name is overwritten. A dry run ends with exit code 1 if one would stop,
    and with 2 if the database could not be asked.
    """
    if dry_run and to:
        raise typer.BadParameter("--dry-run and --to do not go together.")
    if without_locks and not dry_run:
        raise typer.BadParameter("--without-locks goes with --dry-run.")
    if dry_run:
        from rich.console import Console

        from worker.settings import load_database_url

        trial = extra("worker.commands.dry_run", "dry-run").dry_run(
            load_database_url(), migration_files(), Console(), only_read=without_locks
        )
        if not done(trial):
            raise typer.Exit(REFUSED)
        return
    tell_written(to or FOLDER)


@app.command(epilog="Example: c3d-worker local --push --env-file .env")
def local(
    *,
    data: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Where it keeps its data; a second start finds it again."
        ),
    ] = Path(".local-stack"),
    free_ports: Annotated[
        bool, typer.Option("--free-ports", help="Any free ports, not those of config.toml.")
    ] = False,
    env_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the ready .env here as well.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="With --env-file: keep another file beside it as ….old."),
    ] = False,
    push: Annotated[
        bool, typer.Option("--push", help="Apply the migrations as well: `supabase db push`.")
    ] = False,
) -> None:
    """Start a Supabase without Docker; Ctrl-C stops it."""
    serve = extra("worker.commands.local").serve_local
    done(serve(data, free_ports=free_ports, env_file=env_file, force=force, push=push))


@app.command()
def demo(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", exists=True, dir_okay=False, callback=regular),
    ] = None,
) -> None:
    """Show one recording from upload to technical row.

    On a local stack: nothing leaves the machine.
    """
    from rich.console import Console

    show = extra("worker.commands.demo")
    if not done(show.demo(file, project(), Console())):
        raise typer.Exit(REFUSED)
