"""Connections to PostgreSQL itself, and which of its errors speak of the connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeAlias

import asyncpg
from pydantic import SecretStr

from worker.dry_run.errors import DatabaseUnreachableError

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# What a connection raises when it is lost; asyncpg's classes have no common base.
LOST: Final = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
_OF_THE_SERVER: Final = ("08", "53", "57P", "58", "XX")  # SQLSTATEs that no migration causes
_CONNECT_SECONDS: Final = 15.0


@asynccontextmanager
async def connected(
    url: SecretStr, *, reply_seconds: float | None = None
) -> AsyncIterator[Connection]:
    """Connect for the length of the block; at its end the server takes back what is open.

    No error repeats the URL, or what the server says of its user.

    Args:
        url: with the password.
        reply_seconds: how long any reply may take; None: for ever.

    Raises:
        DatabaseUnreachableError: it cannot be connected to.
    """
    try:
        # A pooler hands out another connection each time, which knows no statement of before.
        connection: Connection = await asyncpg.connect(
            url.get_secret_value(),
            timeout=_CONNECT_SECONDS,
            command_timeout=reply_seconds,
            statement_cache_size=0,
            server_settings={"application_name": "c3d-worker dry run"},
        )
    except (*LOST, ValueError, asyncpg.PostgresError) as error:
        raise DatabaseUnreachableError(_why(error)) from None  # the cause may repeat the URL
    try:
        yield connection
    finally:
        with suppress(*LOST, asyncpg.PostgresError):
            await connection.close(timeout=5)


def is_lost(error: BaseException) -> bool:
    """Return whether the error speaks of the server or the way to it, and of no statement."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_OF_THE_SERVER)
    return isinstance(error, LOST)


def _why(error: Exception) -> str:
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return "PostgreSQL refuses the user or the password of SUPABASE_DB_URL."
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return "The database that SUPABASE_DB_URL names does not exist."
    if isinstance(error, asyncpg.PostgresError):
        return f"PostgreSQL refuses the connection (SQLSTATE {error.sqlstate})."
    if isinstance(error, ConnectionError) and "SSL" in str(error):
        return (
            "PostgreSQL speaks no TLS there, and the password is not sent in clear: "
            "add ?sslmode=disable to SUPABASE_DB_URL where the network is trusted."
        )
    return f"PostgreSQL does not answer at SUPABASE_DB_URL ({type(error).__name__})."
