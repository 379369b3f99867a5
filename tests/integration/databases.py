"""Talking to the tests' databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg

from worker.local.postgres import SUPERUSER, as_role

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def connected(url: str, *, role: str = "") -> AsyncIterator[Connection]:
    """Connect as role postgres, or act as another role."""
    # The statement cache would remember types that a migration changes.
    connection: Connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        if role:
            await connection.execute(f"set role {role}")
        yield connection
    finally:
        await connection.close()


async def rows(url: str, query: str, *arguments: Any) -> list[dict[str, Any]]:
    """Return the rows of a query as role postgres."""
    async with connected(url) as connection:
        return [dict(row) for row in await connection.fetch(query, *arguments)]


async def execute(url: str, sql: str) -> None:
    """Run a script as role postgres."""
    async with connected(url) as connection:
        await connection.execute(sql)


async def forget_versioning(url: str) -> None:
    """Make storage.objects what it was before Storage 1.70, which brought versions of objects."""
    await execute(
        as_role(url, SUPERUSER),
        "alter table storage.objects drop column archived_at, drop column is_delete_marker",
    )
