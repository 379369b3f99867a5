"""Realtime, supervised: it wakes the worker when a session was inserted, and carries no data.

Realtime promises nothing: what happens while nobody is subscribed is not replayed, and a
connection can die without a sign. So the listener also wakes the worker whenever something may
have been missed, and the claim loop polls the table whatever is heard. A connection in doubt is
not repaired: the listener throws it away and builds a new client.

Source: the Phoenix channel protocol as Supabase Realtime speaks it
(https://supabase.com/docs/guides/realtime/protocol).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any

import structlog
from realtime import (
    AsyncRealtimeChannel,
    AsyncRealtimeClient,
    RealtimePostgresChangesListenEvent,
    RealtimeSubscribeStates,
)

from worker.backend.metadata_service import SESSIONS
from worker.backend.no_redirects import refuse_redirects
from worker.backoff import backoff

JOIN_SECONDS = 8.0  # to connect, and for the join to be answered
READY_SECONDS = 20.0  # for the `system` message, which comes seconds later
PING_SECONDS = 9.0  # between two pings; each counts as two Realtime messages
ECHO_SECONDS = 4.0  # for a ping to come back; a needless new connection costs little
CLOSE_SECONDS = 1.0  # a goodbye at the end is polite, waiting for an answer is not
MAX_AGE_SECONDS = 6 * 3600.0  # the platform cuts connections at 24 h, this one goes before
INITIAL_PAUSE, MAX_PAUSE = 0.5, 5.0  # seconds between two connections

log = structlog.get_logger(__name__)


class WakeReason(StrEnum):
    """Why the listener wakes the worker."""

    READY = "realtime ready"  # what was inserted before is not announced
    INSERT = "insert"
    GAP = "realtime lost"


class ConnectionLostError(Exception):
    """A Realtime connection ended; why is its message."""


async def probe(url: str, key: str, *, seconds: float) -> None:
    """Connect once, and wait until inserts would be heard.

    Raises:
        ConnectionLostError: they would not be, and why.
    """
    connection = _Connection(f"{url}/realtime/v1", key, lambda _: None)
    try:
        await connection.join(seconds)
    except ConnectionLostError:
        raise
    except Exception as error:  # noqa: BLE001 - the client library raises any kind
        raise ConnectionLostError(_reason(error, key)) from None
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.close()


class RealtimeListener:
    """Keeps one Realtime connection alive, and calls `wake` from it."""

    def __init__(self, url: str, key: str, wake: Callable[[WakeReason], None]) -> None:
        """`url` is the project's; `wake` is called on the event loop and must not block."""
        self._url = f"{url}/realtime/v1"
        self._key = key
        self._on_wake = wake
        self._ready = False
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether inserts are heard now."""
        return self._ready

    async def run(self) -> None:
        """Connect, listen, and begin anew whenever a connection ends; until cancelled."""
        try:
            await self._supervise()
        finally:
            if self._closing:
                await asyncio.wait(self._closing, timeout=CLOSE_SECONDS)

    async def _supervise(self) -> None:
        failures = 0
        while True:
            connection = _Connection(self._url, self._key, self._wake)
            try:
                await connection.listen()
            except ConnectionLostError as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001 - the client library raises any kind
                reason = _reason(error, self._key)
            finally:
                self._discard(connection)
            failures = 1 if connection.was_ready else failures + 1
            pause = backoff(failures, initial=INITIAL_PAUSE, maximum=MAX_PAUSE)
            log.warning("realtime_lost", reason=reason, retry_in=round(pause, 1))
            self._wake(WakeReason.GAP)
            await asyncio.sleep(pause)

    def _wake(self, why: WakeReason) -> None:
        if why is not WakeReason.INSERT:  # one may come late, from a connection that is closing
            self._ready = why is WakeReason.READY
        self._on_wake(why)

    def _discard(self, connection: _Connection) -> None:
        """Close in the background: closing a half-open socket takes ten seconds."""
        task = asyncio.create_task(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _Connection:
    """One client, one channel, from connecting to the first doubt."""

    def __init__(self, url: str, key: str, wake: Callable[[WakeReason], None]) -> None:
        refuse_redirects()
        self._client = AsyncRealtimeClient(url, key, auto_reconnect=False)
        self._wake = wake
        self._joined = asyncio.Event()
        self._ready = asyncio.Event()
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._echoed = asyncio.Event()

    @property
    def was_ready(self) -> bool:
        return self._ready.is_set()

    async def listen(self) -> None:
        """Wake the worker until the connection is in doubt.

        Raises:
            ConnectionLostError, and whatever the client library raises.
        """
        channel = await self.join(READY_SECONDS)
        loop = asyncio.get_running_loop()
        born = loop.time()
        while loop.time() - born < MAX_AGE_SECONDS:
            await self._ping(channel)
            await asyncio.wait({self._ended}, timeout=PING_SECONDS)
            self._raise_if_ended()
        raise ConnectionLostError("renewed before the platform cuts it")

    async def join(self, seconds: float) -> AsyncRealtimeChannel:
        """Connect, join the channel and wait until the database feed runs; raises as `listen`."""
        channel = self._channel()
        try:
            async with asyncio.timeout(min(JOIN_SECONDS, seconds)):
                await self._client.connect()
                await channel.subscribe(self._on_status)
                await self._or_end(self._joined.wait())
            async with asyncio.timeout(seconds):
                await self._or_end(self._ready.wait())
        except TimeoutError:
            missed = "ready" if self._joined.is_set() else "joined"
            raise ConnectionLostError(f"not {missed} in time") from None
        return channel

    async def close(self) -> None:
        with suppress(Exception):  # it is thrown away whatever it says
            await self._client.close()

    def _channel(self) -> AsyncRealtimeChannel:
        channel = self._client.channel(
            f"{SESSIONS}-listener",
            {
                "config": {
                    "broadcast": {"ack": False, "self": True},
                    "presence": None,
                    "private": False,
                }
            },
        )
        channel.on_system(self._on_system)
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.Insert,
            self._on_insert,
            table=SESSIONS,
            schema="public",
        )
        channel.on_broadcast("ping", self._on_echo)
        return channel

    async def _ping(self, channel: AsyncRealtimeChannel) -> None:
        """Send a message to oneself; only its return proves that the socket lives."""
        self._echoed.clear()
        try:
            async with asyncio.timeout(ECHO_SECONDS):
                await channel.send_broadcast("ping", {})
                await self._or_end(self._echoed.wait())
        except TimeoutError:
            raise ConnectionLostError("no echo: the connection is dead or frozen") from None

    async def _or_end(self, awaitable: Any) -> None:
        """Await `awaitable`; raise as soon as the connection has ended."""
        waiting = asyncio.ensure_future(awaitable)
        try:
            await asyncio.wait({waiting, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        self._raise_if_ended()

    def _raise_if_ended(self) -> None:
        if self._ended.done():
            raise ConnectionLostError(self._ended.result())

    # --- callbacks: the library's listening task dies of an exception, so these cannot raise ---

    def _on_status(self, state: RealtimeSubscribeStates, error: Exception | None) -> None:
        if state is RealtimeSubscribeStates.SUBSCRIBED:
            self._joined.set()
        elif not self._ended.done():
            self._ended.set_result(f"channel {state.value.lower()}{f': {error}' if error else ''}")

    def _on_system(self, payload: Any) -> None:
        """Only now does the database feed run: the join's own answer comes seconds earlier."""
        if payload.extension == "postgres_changes" and payload.status == "ok":
            log.info("realtime_ready", again=self._ready.is_set())
            self._ready.set()
            self._wake(WakeReason.READY)

    def _on_insert(self, _payload: object) -> None:
        self._wake(WakeReason.INSERT)

    def _on_echo(self, _payload: object) -> None:
        self._echoed.set()


def _reason(error: Exception, key: str) -> str:
    """What an error of the client library says; its messages can repeat the address."""
    return f"{type(error).__name__}: {error}".replace(key, "…")
