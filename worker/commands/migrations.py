"""The Supabase project that comes with this package, `supabase/`: its settings and migrations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from worker.errors import FileDiffersError

PACKAGE = Path(__file__).resolve().parent.parent
FOLDER = Path("supabase", "migrations")  # where the Supabase CLI looks


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the migrations in a folder."""

    new: tuple[Path, ...]
    there_already: tuple[Path, ...]


def project() -> Path:
    """The folder that holds `supabase/`: of an installation the package, of a clone its parent."""
    return PACKAGE if (PACKAGE / "supabase").is_dir() else PACKAGE.parent


def write_migrations(to: Path) -> Written:
    """Write every migration into the folder `to`, which is made if need be.

    Raises:
        FileDiffersError: another file has the name of one; nothing is written then.
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
