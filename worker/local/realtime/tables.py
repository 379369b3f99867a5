"""What only the database knows about a change: types, who may see the row, what is published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from worker.local.realtime.pgoutput import UNCHANGED, Change, Relation, Row

_COLUMNS: Final = """
select attribute.attname as name, pg_type.typname as type,
  format_type(attribute.atttypid, null) as cast_to,
  coalesce(attribute.attnum = any (pg_index.indkey), false) as in_key,
  pg_class.relrowsecurity as has_policies
from pg_attribute as attribute
join pg_type on pg_type.oid = attribute.atttypid
join pg_class on pg_class.oid = attribute.attrelid
left join pg_index on pg_index.indrelid = attribute.attrelid and pg_index.indisprimary
where attribute.attrelid = $1 and attribute.attnum > 0 and not attribute.attisdropped
order by attribute.attnum
"""
_PUBLISHED: Final = """
select exists (
  select from pg_publication_tables
  where pubname = 'supabase_realtime'
    and ($1 = '*' or schemaname = $1) and ($2 = '*' or tablename = $2)
)
"""
_BECOME: Final = "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)"
_OPERATORS: Final = {
    "eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "in": "in",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column as the catalog describes it now."""

    name: str
    type: str  # its name in pg_type, as Realtime sends it
    cast_to: str  # its name in SQL
    in_key: bool  # whether it belongs to the primary key
    has_policies: bool  # whether row-level security is on for its table


@dataclass(frozen=True)
class Tables:
    """Queries to the database as a superuser."""

    pool: asyncpg.Pool[asyncpg.Record]

    async def is_published(self, schema: str, table: str) -> bool:
        """Return whether changes of the table reach the feed; '*' stands for any."""
        return bool(await self.pool.fetchval(_PUBLISHED, schema, table))

    async def columns(self, relation: Relation) -> list[Column]:
        """Return the columns, always from the catalog: DDL may have changed them meanwhile."""
        return [Column(**row) for row in await self.pool.fetch(_COLUMNS, relation.oid)]

    async def as_json(self, row: Row, columns: list[Column]) -> dict[str, Any]:
        """Return the row as PostgreSQL itself writes it in JSON."""
        known = [column for column in columns if row.get(column.name, UNCHANGED) is not UNCHANGED]
        if not known:
            return {}
        values = ", ".join(
            f"${number}::text::{column.cast_to} as {_quoted(column.name)}"
            for number, column in enumerate(known, 1)
        )
        text = await self.pool.fetchval(
            f"select to_jsonb(record)::text from (select {values}) as record",  # noqa: S608 - names and types come from the catalog
            *(row[column.name] for column in known),
        )
        record: dict[str, Any] = json.loads(text)
        return record

    async def may_see(
        self, claims: Mapping[str, Any], change: Change, columns: list[Column]
    ) -> bool:
        """Return whether grants and policies let the subscriber read the row.

        As in Realtime, the policies of a deleted row cannot be checked: its key goes to everyone
        who may read the table.
        """
        role = str(claims.get("role", "anon"))
        if role == "service_role":
            return True
        table = f"{_quoted(change.relation.schema)}.{_quoted(change.relation.table)}"
        if not await self.pool.fetchval(
            "select has_table_privilege($1, $2, 'select')", role, table
        ):
            return False
        if change.new is None or not columns[0].has_policies:
            return True
        key = [column for column in columns if column.in_key]
        if not key:
            return False  # the row cannot be found again, so its policies cannot be checked
        same = " and ".join(
            f"{_quoted(column.name)} = ${number}::text::{column.cast_to}"
            for number, column in enumerate(key, 1)
        )
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(_BECOME, role, json.dumps(claims))
            return bool(
                await connection.fetchval(
                    f"select exists (select from {table} where {same})",  # noqa: S608 - names and types come from the catalog
                    *(change.new[column.name] for column in key),
                )
            )

    async def fits(self, wanted: str | None, row: Row, columns: list[Column]) -> bool:
        """Return whether the row passes a binding's filter, such as `status=eq.pending`."""
        if not wanted:
            return True
        name, _, condition = wanted.partition("=")
        operator, _, value = condition.partition(".")
        cast_to = next((column.cast_to for column in columns if column.name == name), None)
        actual = row.get(name)
        if cast_to is None or actual is None or actual is UNCHANGED or operator not in _OPERATORS:
            return False
        if operator == "in":
            sql = f"select $1::text::{cast_to} = any ($2::text[]::{cast_to}[])"
            return bool(await self.pool.fetchval(sql, actual, value.strip("()").split(",")))
        sql = f"select $1::text::{cast_to} {_OPERATORS[operator]} $2::text::{cast_to}"
        return bool(await self.pool.fetchval(sql, actual, value))


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
