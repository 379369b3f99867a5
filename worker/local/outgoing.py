"""A stand-in for pg_net's background worker: it sends the HTTP requests that SQL has queued.

Like the real one, it sends a request after the commit of the transaction that queued it, with the
body byte for byte as stored; it sends several at once, records failures and never retries. It
serves one database, `postgres`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import aiohttp
import asyncpg
from yarl import URL

from worker.local.postgres import DATABASE_ERRORS

_log = logging.getLogger(__name__)

_POLL_SECONDS: Final = 1.0  # in case a notification gets lost
_RETRY_SECONDS: Final = 0.5  # between two connections to the database
_BATCH: Final = 200  # requests, as pg_net
_DEQUEUE: Final = """
delete from net.http_request_queue where id in (
  select id from net.http_request_queue order by id limit $1
)
returning id, method, url, headers, body, timeout_milliseconds
"""
_RECORD: Final = """
insert into net._http_response (id, status_code, content_type, content, timed_out, error_msg)
values ($1, $2, $3, $4, $5, $6)
"""


@asynccontextmanager
async def outgoing(superuser_url: str) -> AsyncIterator[None]:
    """Send queued requests until the block ends."""
    async with (
        aiohttp.ClientSession() as http,
        asyncpg.create_pool(superuser_url, min_size=0, max_size=2, statement_cache_size=0) as pool,
    ):
        sender = _Sender(superuser_url, http, pool)
        sending = asyncio.create_task(sender.run())
        try:
            yield
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending


class _Sender:
    """Empties the queue, and reconnects after every restart of PostgreSQL."""

    def __init__(
        self, database_url: str, http: aiohttp.ClientSession, pool: asyncpg.Pool[asyncpg.Record]
    ) -> None:
        self._database_url = database_url
        self._http = http
        self._pool = pool
        self._woken = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        try:
            while True:
                try:
                    await self._serve()
                except DATABASE_ERRORS as error:
                    _log.info("outgoing requests interrupted: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def _serve(self) -> None:
        queue = await asyncpg.connect(self._database_url, statement_cache_size=0)
        try:
            await queue.add_listener("net_wake", self._wake)
            while True:
                self._woken.clear()
                for row in await queue.fetch(_DEQUEUE, _BATCH):
                    task = asyncio.create_task(_send(self._http, self._pool, row))
                    self._sending.add(task)
                    task.add_done_callback(self._sending.discard)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_SECONDS):
                        await self._woken.wait()
        finally:
            queue.terminate()

    def _wake(self, *_: object) -> None:
        self._woken.set()


async def _send(
    http: aiohttp.ClientSession, pool: asyncpg.Pool[asyncpg.Record], row: asyncpg.Record
) -> None:
    status: int | None = None
    kind: str | None = None
    content: str | None = None
    wrong: str | None = None
    timed_out = False
    try:
        async with http.request(
            row["method"],
            URL(row["url"], encoded=True),
            headers=json.loads(row["headers"]),
            data=row["body"],
            timeout=aiohttp.ClientTimeout(total=row["timeout_milliseconds"] / 1000),
            allow_redirects=False,
        ) as answer:
            status, kind = answer.status, answer.headers.get("Content-Type")
            content = await answer.text(errors="replace")
    except TimeoutError:
        timed_out, wrong = True, "Timeout was reached"
    except (aiohttp.ClientError, ValueError) as error:
        wrong = f"Couldn't connect to server ({type(error).__name__})"
    with suppress(*DATABASE_ERRORS):
        await pool.execute(_RECORD, row["id"], status, kind, content, timed_out, wrong)
