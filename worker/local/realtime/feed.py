"""The changes of the publication, polled from a temporary replication slot.

As in the real service, the slot exists as long as its connection: changes while PostgreSQL or the
feed is down are lost, and afterwards the feed continues without telling its clients.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final
from uuid import uuid4

import asyncpg

from worker.local.postgres import DATABASE_ERRORS
from worker.local.realtime.pgoutput import Change, Decoder

_log = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.1  # as the real service
_RETRY_SECONDS: Final = 0.5  # between two connections to the database
_CREATE_SLOT: Final = "select pg_create_logical_replication_slot($1, 'pgoutput', true)"
_READ_SLOT: Final = """
select data from pg_logical_slot_get_binary_changes(
  $1, null, null, 'proto_version', '1', 'publication_names', 'supabase_realtime')
"""


class Feed:
    """Follows the publication from now on, and reconnects after every restart of PostgreSQL."""

    def __init__(self, database_url: str) -> None:
        """`database_url` connects as a superuser."""
        self._database_url = database_url
        self.running = asyncio.Event()  # set while the slot exists: it misses no later change

    async def changes(self) -> AsyncIterator[Change]:
        """Yield every change, without end."""
        while True:
            try:
                async for change in self._follow():
                    yield change
            except DATABASE_ERRORS as error:
                _log.info("feed interrupted: %s", error)
            finally:
                self.running.clear()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self) -> AsyncIterator[Change]:
        connection = await asyncpg.connect(
            self._database_url,
            statement_cache_size=0,
            # Otherwise PostgreSQL logs six lines per poll, ten times per second.
            server_settings={"log_min_messages": "fatal"},
        )
        try:
            slot, decoder = f"realtime_{uuid4().hex}", Decoder()
            await connection.execute(_CREATE_SLOT, slot)
            self.running.set()
            while True:
                for row in await connection.fetch(_READ_SLOT, slot):
                    if (change := decoder.feed(row["data"])) is not None:
                        yield change
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            connection.terminate()
