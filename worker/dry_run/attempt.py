"""Runs the migrations in one transaction, looks at what they did, and takes everything back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
from pydantic import SecretStr

from worker.dry_run.comparison import Comparison, before, compared
from worker.dry_run.database import LOST, Connection, connected, is_lost
from worker.dry_run.dependents import Dependent, dependents
from worker.dry_run.errors import DatabaseUnreachableError, DryRunGaveUpError
from worker.dry_run.migrations import MARK, SAVEPOINT, Migration, applied, made_by, script
from worker.dry_run.required import Required, required_columns
from worker.dry_run.watch import HELD_SECONDS, TOTAL_SECONDS, Watch, watched

# Bounds of this transaction, whatever the role's own are. They hold on the server, so they end it
# even when this program or the network dies.
_BOUNDS: Final = f"""
set local lock_timeout = '{HELD_SECONDS:g}s';
set local statement_timeout = '{TOTAL_SECONDS / 2:g}s';
set local idle_in_transaction_session_timeout = '10s';
set local client_connection_check_interval = '1s';
set local client_min_messages = notice;
"""
_WHERE: Final = "select current_database(), current_user, current_setting('server_version')"
_REPLY_SECONDS: Final = 10.0  # of the watching connection
_GIVEN_UP: Final = (  # what others' locks and the bounds raise, and no migration
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
)


@dataclass(frozen=True, slots=True)
class Stop:
    """The first migration that stops, and its message with the cure."""

    migration: str
    said: str


@dataclass(frozen=True, slots=True)
class Said:
    """A NOTICE or WARNING that a migration raised."""

    migration: str
    severity: str
    said: str


@dataclass(slots=True)
class Attempt:
    """What a dry run has found."""

    database: str  # its name, never its address
    role: str
    server: str  # the version of PostgreSQL
    pending: tuple[str, ...]  # migrations, by name
    applied: int
    tried: bool  # False: only the checks that read
    is_new: bool = False  # neither of the two tables exists
    stop: Stop | None = None
    changes: Comparison | None = None  # None: nothing was tried
    dependents: list[Dependent] = field(default_factory=list)
    required: list[Required] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)


async def attempt(
    url: SecretStr, migrations: Sequence[Migration], *, only_read: bool = False
) -> Attempt:
    """Run what is not applied yet in one transaction of the database, and take it back.

    Args:
        url: of the database, as the role that pushes migrations.
        migrations: all of the package, in order.
        only_read: run the checks of the first migration only, which take no lock that others
            wait for.

    Raises:
        DatabaseUnreachableError: the database does not answer, or was lost meanwhile.
        DryRunGaveUpError: it would have kept others waiting for too long.
    """
    async with (
        connected(url) as connection,
        connected(url, reply_seconds=_REPLY_SECONDS) as watcher,
        watched(connection, watcher) as watch,
    ):
        try:
            async with _taken_back(connection):
                return await _look(connection, migrations, only_read=only_read)
        except (*LOST, asyncpg.PostgresError) as error:
            raise _given_up(error, watch) from None  # its text may say where and as whom


@asynccontextmanager
async def _taken_back(connection: Connection) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        # Where the connection is lost, the server takes it back by itself.
        with suppress(*LOST, asyncpg.PostgresError):
            await transaction.rollback()


async def _look(
    connection: Connection, migrations: Sequence[Migration], *, only_read: bool
) -> Attempt:
    await connection.execute(_BOUNDS)
    database, role, server = await connection.fetchrow(_WHERE) or ("", "", "")
    done = await applied(connection, migrations)
    pending = [migration for migration in migrations if migration not in done]
    found = Attempt(
        database=database,
        role=role,
        server=server,
        pending=tuple(migration.name for migration in pending),
        applied=len(done),
        tried=not only_read,
    )
    if not pending:
        return found
    old = await before(connection)
    found.is_new = not old["columns"]
    found.dependents = await dependents(connection, made_by(migrations if done else ()))
    found.required = await required_columns(connection)
    if only_read:
        if pending[0] == migrations[0] and not found.is_new:
            await _execute(connection, pending[0].checks, found, pending[0].name)
    else:
        await _run(connection, pending, found)
        found.changes = await compared(connection, old)
    return found


async def _run(connection: Connection, pending: Sequence[Migration], found: Attempt) -> None:
    """Run all of them, and after a stop go back to what the ones before it did."""
    await _execute(connection, script(pending), found, pending[0].name)
    if found.stop:
        await connection.execute(f"rollback to savepoint {SAVEPOINT}")


async def _execute(connection: Connection, sql: str, found: Attempt, current: str) -> None:
    """Execute a script, and note what it says and where it stops."""

    def listen(_: Any, message: asyncpg.PostgresLogMessage) -> None:
        nonlocal current
        text = str(message.message)
        if text.startswith(MARK):
            current = text.removeprefix(MARK)
        elif message.severity_en in {"NOTICE", "WARNING"}:
            hint = f" {message.hint}" if message.hint else ""
            found.said.append(Said(current, message.severity_en, text + hint))

    connection.add_log_listener(listen)
    try:
        await connection.execute(sql)
    except asyncpg.PostgresError as error:
        if is_lost(error) or isinstance(error, _GIVEN_UP):
            raise
        await asyncio.sleep(0)  # the loop calls the listener
        found.stop = Stop(current, _sentence(error))
    finally:
        await asyncio.sleep(0)
        connection.remove_log_listener(listen)


def _sentence(error: asyncpg.PostgresError) -> str:
    """Return the message, and what else the server says, except for the values of a row."""
    of_a_row = isinstance(error, asyncpg.IntegrityConstraintViolationError)
    parts = [error.message, None if of_a_row else error.detail, error.hint]
    return "\n".join(str(part) for part in parts if part)


def _given_up(error: BaseException, watch: Watch) -> DatabaseUnreachableError | DryRunGaveUpError:
    if isinstance(error, asyncpg.LockNotAvailableError):
        table = watch.waits_for or "a table"
        return DryRunGaveUpError(f"Another connection has locked {table} for {HELD_SECONDS:g} s.")
    if watch.ended or isinstance(error, _GIVEN_UP):
        return DryRunGaveUpError(watch.why())
    if isinstance(error, asyncpg.PostgresError) and not is_lost(error):
        return DatabaseUnreachableError(
            f"The role of SUPABASE_DB_URL may not look at the tables (SQLSTATE {error.sqlstate})."
        )
    return DatabaseUnreachableError("The connection to the database was lost.")
