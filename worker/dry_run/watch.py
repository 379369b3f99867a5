"""Watches over the one transaction from a second connection, so that it keeps nobody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from worker.dry_run.database import LOST, Connection

HELD_SECONDS: Final = 5.0  # from the first lock that others wait for, whether granted or asked for
TOTAL_SECONDS: Final = 60.0  # without such a lock; one statement has half of it
_LOOK_SECONDS: Final = 0.1

# Locks on tables that the transaction waits for, and those that keep others waiting: one that is
# only asked for counts as well, because whoever comes later waits behind it. Tables that the
# transaction made itself do not count: no other connection sees them in pg_class.
_LOCKS: Final = """
select l.relation::regclass::text as relation, l.granted, k.keeps_others_waiting
from pg_catalog.pg_locks as l
join pg_catalog.pg_class as c on c.oid = l.relation
cross join lateral (
  select l.mode in (
    'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'
  ) as keeps_others_waiting
) as k
where l.pid = $1
  and l.locktype = 'relation'
  and l.database = (
    select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()
  )
  and (k.keeps_others_waiting or not l.granted)
"""


class Watch:
    """What the watch has seen so far."""

    def __init__(self) -> None:
        """Nothing."""
        self.held_since: float | None = None  # in the loop's time
        self.waits_for = ""  # the table whose lock somebody else has, at the last look
        self.ended = False  # whether the watch has cancelled the transaction

    def why(self) -> str:
        """Return in a sentence why the transaction was cancelled."""
        if self.waits_for:
            return f"Another connection has locked {self.waits_for} for {HELD_SECONDS:g} seconds."
        if self.held_since is not None:
            return f"The migrations take longer than {HELD_SECONDS:g} seconds of held locks."
        return f"The database needs too long: {TOTAL_SECONDS:g} seconds at most may pass."


@asynccontextmanager
async def watched(connection: Connection, watcher: Connection) -> AsyncIterator[Watch]:
    """Cancel whatever `connection` does once its time is over; `watcher` must be another one.

    Cancelling by a statement works through a pooler, too. If the watcher is lost, the connection
    that nobody watches any more is cut.
    """
    watch = Watch()
    pid = await connection.fetchval("select pg_catalog.pg_backend_pid()")
    looking = asyncio.create_task(_look(watch, connection, watcher, pid))
    try:
        yield watch
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _look(watch: Watch, connection: Connection, watcher: Connection, pid: int) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + TOTAL_SECONDS
    try:
        while True:
            locks = await watcher.fetch(_LOCKS, pid)
            if watch.held_since is None and any(lock["keeps_others_waiting"] for lock in locks):
                watch.held_since = loop.time()
                until = min(until, watch.held_since + HELD_SECONDS)
            if not watch.ended:
                watch.waits_for = next(
                    (lock["relation"] for lock in locks if not lock["granted"]), ""
                )
            if loop.time() >= until:
                watch.ended = True
                await watcher.execute(f"select pg_catalog.pg_cancel_backend({pid})")
            await asyncio.sleep(_LOOK_SECONDS)
    except (*LOST, asyncpg.PostgresError):
        connection.terminate()
