"""`c3d-worker migrations`: writes the migrations that come with this package."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import typer

from worker.errors import FileDiffersError

PACKAGE = Path(__file__).resolve().parent.parent
FOLDER = Path("supabase", "migrations")  # where the Supabase CLI reads them


@dataclass(frozen=True, slots=True)
class Written:
    """The paths of all migrations in a folder."""

    new: tuple[Path, ...]
    there_already: tuple[Path, ...]


def project() -> Path:
    """Return the folder that contains `supabase/`: the package, or in a clone its parent."""
    return PACKAGE if (PACKAGE / "supabase").is_dir() else PACKAGE.parent


def migration_files() -> list[Path]:
    """Return the migrations that come with this package, in order."""
    return sorted((project() / FOLDER).glob("*.sql"))


def write_migrations(to: Path) -> Written:
    """Write every migration into the folder `to`, and create it where it does not exist.

    Raises:
        FileDiffersError: the folder contains another file with the name of a migration; nothing
            was written.
    """
    contents = {to / migration.name: migration.read_bytes() for migration in migration_files()}
    there = tuple(path for path in contents if path.exists())
    if differing := [path for path in there if path.read_bytes() != contents[path]]:
        names = ", ".join(path.name for path in differing)
        raise FileDiffersError(f"{to} holds another file of the same name: {names}.")
    new = tuple(path for path in contents if path not in there)
    to.mkdir(parents=True, exist_ok=True)
    for path in new:
        with path.open("xb") as file:
            file.write(contents[path])
    return Written(new, there)


def tell_written(to: Path) -> None:
    """Write every migration into a folder, and say what is next.

    Raises:
        FileDiffersError: as `write_migrations`.
    """
    written = write_migrations(to)
    for path in written.new:
        typer.echo(path)
    typer.echo(f"{len(written.new)} written, {len(written.there_already)} were there already.")
    if to.resolve().parts[-2:] == FOLDER.parts:
        home = shlex.quote(str(to.resolve().parent.parent))
        typer.echo(f"Next: cd {home} && supabase link && supabase db push --remote")
    else:
        typer.echo(f"Next: copy them into {FOLDER} of your project. There:")
        typer.echo("supabase db push --remote")
