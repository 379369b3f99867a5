"""Storage's connections to the database: as the caller, under policies, and as the service."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg
from aiohttp import web

from worker.local import keys
from worker.local.storage.errors import StorageError

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Claims: TypeAlias = Mapping[str, Any]  # of a JWT: who acts

_BECOME_CALLER = """
select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)
"""


@dataclass(frozen=True)
class Access:
    """The pool of connections as `supabase_storage_admin`."""

    pool: asyncpg.Pool[asyncpg.Record]

    def as_caller(self, request: web.Request) -> AbstractAsyncContextManager[Connection]:
        """Open a transaction in the role and with the claims of the request's JWT."""
        return self.acting_as(caller_of(request))

    @asynccontextmanager
    async def acting_as(self, claims: Claims) -> AsyncIterator[Connection]:
        """Open a transaction in the role that the claims name, and with them."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(_BECOME_CALLER, claims.get("role", "anon"), json.dumps(claims))
            yield connection

    @asynccontextmanager
    async def as_itself(self) -> AsyncIterator[Connection]:
        """Open a connection to which policies do not apply, as the owner of the tables."""
        async with self.pool.acquire() as connection:
            yield connection


def caller_of(request: web.Request) -> Claims:
    """Return the claims of the request's JWT."""
    return keys.claims_of(keys.token_of(request))


def signer_of(request: web.Request) -> Claims:
    """Return the claims of the token in a signed URL, which replaces the key.

    Raises:
        StorageError: the token is not of this stack, has expired, or is for another object.
    """
    try:
        claims = keys.claims_of(request.query.get("token", ""))
    except keys.InvalidTokenError as error:
        raise StorageError(400, "InvalidJWT", str(error)) from error
    if claims.get("url") != key_of(request):
        raise StorageError(400, "InvalidSignature", "The url do not match the signature")
    return claims


def key_of(request: web.Request) -> str:
    """Return the bucket and name of the object that the request is about, with a slash between."""
    return f"{request.match_info['bucket']}/{request.match_info['name']}"
