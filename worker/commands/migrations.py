"""`c3d-worker migrations`: writes the migrations that come with this package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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


def write_migrations(to: Path) -> Written:
    """Write every migration into the folder `to`, and create it where it does not exist.

    Raises:
        FileDiffersError: the folder contains another file with the name of a migration; nothing
            was written.
    """
    contents = {
        to / migration.name: migration.read_bytes()
        for migration in sorted((project() / FOLDER).glob("*.sql"))
    }
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
