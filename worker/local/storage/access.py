"""Storage's connections to the database: as the caller, under policies, and as the service."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg
from aiohttp import web

from worker.local import keys

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

_BECOME_CALLER = """
select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)
"""


@dataclass(frozen=True)
class Access:
    """The pool of connections as `supabase_storage_admin`."""

    pool: asyncpg.Pool[asyncpg.Record]

    @asynccontextmanager
    async def as_caller(self, request: web.Request) -> AsyncIterator[Connection]:
        """Open a transaction in the role and with the claims of the request's JWT."""
        claims = keys.claims_of(keys.token_of(request))
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(_BECOME_CALLER, claims.get("role", "anon"), json.dumps(claims))
            yield connection

    @asynccontextmanager
    async def as_itself(self) -> AsyncIterator[Connection]:
        """Open a connection to which policies do not apply, as the owner of the tables."""
        async with self.pool.acquire() as connection:
            yield connection


def owner_of(request: web.Request) -> str | None:
    """Return the id of the user who makes the request; None for a service key."""
    subject: Any = keys.claims_of(keys.token_of(request)).get("sub")
    return str(subject) if subject else None
