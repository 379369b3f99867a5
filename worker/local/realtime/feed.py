"""The changes of the publication, from a temporary slot that is polled.

Like the real service's, the slot lives as long as its connection: what happens while PostgreSQL
or the feed is away is lost, and afterwards it goes on without telling anybody.
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

_POLL_EVERY: Final = 0.1  # seconds, as the real service
_RETRY_AFTER: Final = 0.5  # seconds
_CREATE_SLOT: Final = "select pg_create_logical_replication_slot($1, 'pgoutput', true)"
_READ_SLOT: Final = """
select data from pg_logical_slot_get_binary_changes(
  $1, null, null, 'proto_version', '1', 'publication_names', 'supabase_realtime')
"""


class Feed:
    """Follows the publication from now on, through every restart of PostgreSQL."""

    def __init__(self, database_url: str) -> None:
        """`database_url` is a superuser's."""
        self._database_url = database_url
        self.running = asyncio.Event()  # set while the slot exists: no later change is missed

    async def changes(self) -> AsyncIterator[Change]:
        """Yield every change, for ever."""
        while True:
            try:
                async for change in self._follow():
                    yield change
            except DATABASE_ERRORS as error:
                _log.info("feed interrupted: %s", error)
            finally:
                self.running.clear()
            await asyncio.sleep(_RETRY_AFTER)

    async def _follow(self) -> AsyncIterator[Change]:
        connection = await asyncpg.connect(
            self._database_url,
            statement_cache_size=0,
            # PostgreSQL logs six lines a poll otherwise, ten times a second.
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
                await asyncio.sleep(_POLL_EVERY)
        finally:
            connection.terminate()
