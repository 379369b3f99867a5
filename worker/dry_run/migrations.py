"""The migrations as the dry run executes them: those that are not applied, in one script."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from worker.dry_run.database import Connection

SAVEPOINT: Final = "dry_run"
MARK: Final = "dry run of "  # begins the INFO that names the migration which comes next

_MADE: Final = re.compile(
    r"^\s*create (?:or replace )?(?:temporary )?(?:function|view|table|trigger|policy)"
    r"(?: if not exists)? (?:public\.)?(\w+)",
    re.MULTILINE,
)
_LIMIT: Final = re.compile(r"^set local statement_timeout = .*\n", re.MULTILINE)
_CHECK: Final = re.compile(r"^select pg_temp\.check_\w+\(\);\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """A file of supabase/migrations."""

    name: str
    sql: str

    @property
    def version(self) -> str:
        """The digits that stand for it in the history."""
        return self.name.partition("_")[0]

    @property
    def checks(self) -> str:
        """What it does up to its first check; the first migration only reads until then."""
        found = _CHECK.search(self.sql)
        return self.sql[: found.end()] if found else "select"


async def applied(connection: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """Return those of the migrations that the database's history names."""
    if not await connection.fetchval(
        "select pg_catalog.to_regclass('supabase_migrations.schema_migrations') is not null"
    ):
        return []
    rows = await connection.fetch("select version from supabase_migrations.schema_migrations")
    versions = {row["version"] for row in rows}
    return [migration for migration in migrations if migration.version in versions]


def made_by(migrations: Iterable[Migration]) -> list[str]:
    """Return the names of all functions, views, tables and triggers that they create."""
    return sorted({name for migration in migrations for name in _MADE.findall(migration.sql)})


def script(migrations: Iterable[Migration]) -> str:
    """Return one script of all of them, so that a slow network holds no lock longer.

    Each has a savepoint, to which the transaction returns when it stops, and is announced by an
    INFO. What is deferred to the commit of its own transaction is done at its end. No migration
    raises the limit that the dry run sets for a statement.
    """
    return "\n".join(
        f"savepoint {SAVEPOINT};\n"
        f"do $announced$ begin raise info '{MARK}{migration.name}'; end $announced$;\n"
        f"{_LIMIT.sub('', migration.sql)}\n;"
        "set constraints all immediate;\n"
        f"release savepoint {SAVEPOINT};"
        for migration in migrations
    )
