"""What depends on the two tables and is not this project's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

from worker.dry_run.database import Connection

_QUERY: Final = resources.files(__package__).joinpath("dependents.sql")


@dataclass(frozen=True, slots=True)
class Dependent:
    """A policy, foreign key, view, trigger, function or publication of somebody else."""

    kind: str
    name: str
    said: str  # its definition, in short


async def dependents(connection: Connection, own: Sequence[str]) -> list[Dependent]:
    """Return them kind by kind; `own` are the names that this project has given."""
    rows = await connection.fetch(_QUERY.read_text(encoding="utf-8"), own)
    return [Dependent(row["kind"], row["name"], row["said"]) for row in rows]
