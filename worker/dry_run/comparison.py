"""What the migrations would change: counts and catalogs, before and after them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from worker.dry_run.database import Connection

_FUNCTIONS: Final = resources.files(__package__).joinpath("snapshot.sql")
_BEFORE: Final = """
select pg_temp.dry_run_snapshot(), pg_temp.dry_run_keep_statuses()
"""
_AFTER: Final = """
select pg_temp.dry_run_snapshot() || jsonb_build_object(
  'changed_statuses', pg_temp.dry_run_changed_statuses(),
  'taken_over', pg_temp.dry_run_taken_over()
)
"""
SESSIONS, TECHNICAL = "therapy_sessions.", "c3d_technical_data."

Snapshot = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Changed:
    """The names of one kind, sorted, that a comparison tells apart."""

    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()  # the same name, another definition


@dataclass(frozen=True, slots=True)
class Comparison:
    """The database after the migrations, beside what it was before."""

    sessions: tuple[int | None, int | None]  # None: no such table
    technical_rows: tuple[int | None, int | None]
    taken_over: int | None  # completed sessions that no worker has read; None: not known yet
    statuses: tuple[tuple[str | None, str, int], ...]  # from, to, how many sessions
    kinds: Mapping[str, Changed]  # by the names in snapshot.sql: columns, constraints, indexes, …
    columns: frozenset[str]  # of both tables, afterwards

    @property
    def moved(self) -> tuple[str, ...]:
        """The columns that leave therapy_sessions and stand in c3d_technical_data."""
        dropped = self.kinds["columns"].dropped
        names = (name.removeprefix(SESSIONS) for name in dropped if name.startswith(SESSIONS))
        return tuple(name for name in names if TECHNICAL + name in self.columns)


async def before(connection: Connection) -> Snapshot:
    """Take a snapshot, and keep each session's status, in the transaction that is open."""
    await connection.execute(_FUNCTIONS.read_text(encoding="utf-8"))
    snapshot: Snapshot = json.loads(await connection.fetchval(_BEFORE))
    return snapshot


async def compared(connection: Connection, old: Snapshot) -> Comparison:
    """Take another snapshot in the same transaction, and say what differs from the `old` one."""
    new: Snapshot = json.loads(await connection.fetchval(_AFTER))
    kinds = [kind for kind, value in new.items() if isinstance(value, dict)]
    return Comparison(
        sessions=(old["sessions"], new["sessions"]),
        technical_rows=(old["technical_rows"], new["technical_rows"]),
        taken_over=new["taken_over"],
        statuses=tuple((was, becomes, number) for was, becomes, number in new["changed_statuses"]),
        kinds={kind: _changed(old[kind], new[kind]) for kind in kinds},
        columns=frozenset(new["columns"]),
    )


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Changed:
    both = old.keys() & new.keys()
    return Changed(
        added=tuple(sorted(new.keys() - old.keys())),
        dropped=tuple(sorted(old.keys() - new.keys())),
        altered=tuple(sorted(name for name in both if old[name] != new[name])),
    )
