"""Columns of others that would refuse this project's rows, and what helps."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Final

import asyncpg

from worker.dry_run.database import Connection

_QUERY: Final = resources.files(__package__).joinpath("required.sql")

# Examples of values, by the type or its category (pg_type.typcategory).
_BY_TYPE: Final = {"uuid": "gen_random_uuid()", "json": "'{}'", "jsonb": "'{}'"}
_BY_CATEGORY: Final = {"N": "0", "B": "false", "D": "now()", "A": "'{}'"}
_DIFFERENT: Final = {"gen_random_uuid()", "now()"}  # each time another


@dataclass(frozen=True, slots=True)
class Required:
    """A column that is NOT NULL and has no default, and that this project does not fill."""

    relation: str
    column: str  # quoted where SQL needs it
    type: str
    refers_to: str  # the table of a foreign key, or empty
    example: str  # an expression of SQL; empty where no value can be made up

    @property
    def default(self) -> str:
        """The first recipe: a default, or where no value can be made up, no NOT NULL."""
        change = f"set default {self.example}" if self.example else "drop not null"
        return f"alter table public.{self.relation}\n  alter column {self.column} {change};"

    @property
    def trigger(self) -> str:
        """The second recipe: a trigger, which can look at the other values of the row."""
        name = f"fill_{self.column}".replace('"', "")
        value = self.example or "null"
        return (
            f'create function public."{name}"() returns trigger\n'
            "language plpgsql set search_path = '' as $$\n"
            "begin\n"
            f"  new.{self.column} := coalesce(new.{self.column},\n    {value});\n"
            "  return new;\n"
            "end\n"
            "$$;\n"
            f'create trigger "{name}"\n'
            f"before insert on public.{self.relation}\n"
            f'for each row execute function public."{name}"();'
        )


async def required_columns(connection: Connection) -> list[Required]:
    """Return the columns of both tables that refuse a new row, as the tables are now."""
    return [
        Required(
            relation=row["relation"],
            column=row["column"],
            type=row["type"],
            refers_to=row["refers_to"] or "",
            example="" if row["refers_to"] else _example(row),
        )
        for row in await connection.fetch(_QUERY.read_text(encoding="utf-8"))
    ]


def _example(row: asyncpg.Record) -> str:
    """Return a value for a column, or nothing where none can be made up."""
    if row["first_label"] is not None:
        example = "'" + row["first_label"].replace("'", "''") + "'"
    elif row["category"] == "S":
        text = "gen_random_uuid()::text" if row["is_unique"] else "'unknown'"
        return f"left({text}, {row['length']})" if row["length"] is not None else text
    else:
        example = _BY_TYPE.get(row["type"]) or _BY_CATEGORY.get(row["category"], "")
    # The same value a second time is refused where each row needs one of its own.
    return "" if row["is_unique"] and example not in _DIFFERENT else example
