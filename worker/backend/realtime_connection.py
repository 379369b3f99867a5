"""One Realtime connection, from connecting to the first doubt.

Source: the Phoenix channel protocol as Supabase Realtime speaks it
(https://supabase.com/docs/guides/realtime/protocol).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any
from uuid import uuid4

import structlog
from realtime import (
    AsyncRealtimeChannel,
    AsyncRealtimeClient,
    RealtimePostgresChangesListenEvent,
    RealtimeSubscribeStates,
)

from worker.backend.metadata_service import SESSIONS
from worker.backend.no_redirects import refuse_redirects
from worker.errors import UnavailableError

JOIN_SECONDS = 8.0  # to connect, and for the join to be answered
READY_SECONDS = 20.0  # for the `system` message, which comes seconds later
PING_SECONDS = 20.0  # between two pings; each is two messages, which are 0.26 million a month
ECHO_SECONDS = 4.0  # for a ping to come back; a needless new connection costs little
PROBES, PROBE_SECONDS = 3, 5.0  # attempts to hear a probe, and seconds for each
PROOF_SECONDS = 1800.0  # between two proofs on the same connection
MAX_AGE_SECONDS = 6 * 3600.0  # the platform cuts connections at 24 h, this one goes before
BELLS = "worker_bells"

RingProbe = Callable[[], Awaitable[int]]  # inserts a probe, and returns its id

log = structlog.get_logger(__name__)


class WakeReason(StrEnum):
    """Why the listener wakes the worker."""

    READY = "realtime ready"  # what was inserted before is not announced
    FEED = "feed began"
    INSERT = "insert"
    UPLOAD = "upload"
    MISSED = "upload missed"  # the trigger could not note it
    GAP = "realtime lost"
    DEAF = "realtime deaf"  # subscribed, and nothing is heard

    @property
    def word(self) -> str:
        """The state of the connection after it, for /readyz: ready, lost or deaf."""
        return self.value.removeprefix("realtime ")


class ConnectionLostError(Exception):
    """A Realtime connection ended; why is its message."""


class JoinRefusedError(ConnectionLostError):
    """The server does not let the worker join the channel."""


class DeafError(ConnectionLostError):
    """A Realtime connection is subscribed, and hears nothing."""


class RealtimeConnection:
    """One client, one channel, from connecting to the first doubt."""

    def __init__(
        self,
        url: str,
        key: str,
        ring_probe: RingProbe,
        wake: Callable[[WakeReason], None],
        *,
        private: bool = True,
    ) -> None:
        """As for `RealtimeListener`; `url` is that of Realtime itself.

        A `private` channel is joined whether or not the project allows public ones.
        """
        refuse_redirects()
        self._private = private
        self._id = str(uuid4())
        self._client = AsyncRealtimeClient(url, key, auto_reconnect=False)
        self._ring_probe = ring_probe
        self._wake = wake
        self._proven = False
        self._refused = False
        self._heard: asyncio.Queue[object] = asyncio.Queue()  # ids of probes, anybody's
        self._joined = asyncio.Event()
        self._ready = asyncio.Event()
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._echoed = asyncio.Event()

    @property
    def was_ready(self) -> bool:
        """Whether a probe was heard on it."""
        return self._proven

    async def listen(self) -> None:
        """Wake the worker until the connection is in doubt.

        Raises:
            ConnectionLostError, and whatever the client library raises.
        """
        channel = await self.join(READY_SECONDS)
        loop = asyncio.get_running_loop()
        born, proven_at = loop.time(), float("-inf")
        while loop.time() - born < MAX_AGE_SECONDS:
            if not self._proven or loop.time() - proven_at > PROOF_SECONDS:
                await self._prove_to_the_worker()
                proven_at = loop.time()
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

    async def prove(self) -> None:
        """Have a probe inserted and hear it; the feed of a cold project loses the first ones.

        Raises:
            DeafError: none of them was heard.
            ConnectionLostError: the connection has ended.
            UnavailableError: none could be inserted.
        """
        for _ in range(PROBES):
            wanted = await self._ring_probe()
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_SECONDS):
                    await self._or_end(self._hear(wanted))
                    return
        raise DeafError("subscribed, but no probe is heard")

    async def _prove_to_the_worker(self) -> None:
        try:
            await self.prove()
        except UnavailableError as error:
            # Nothing is known of Realtime while nothing can be inserted; the loops see to that.
            log.debug("probe_unanswered", code=error.code)
            return
        self._proven = True
        self._wake(WakeReason.READY)

    async def _hear(self, wanted: int) -> None:
        while await self._heard.get() != wanted:
            pass

    async def close(self) -> None:
        """Close it; a half-open one takes ten seconds."""
        with suppress(Exception):  # it is thrown away whatever it says
            await self._client.close()

    def _channel(self) -> AsyncRealtimeChannel:
        # No other worker shares the topic: all who do receive each other's pings.
        channel = self._client.channel(
            f"c3d-worker-{self._id}",
            {
                "config": {
                    "broadcast": {"ack": False, "self": True},
                    "presence": None,
                    "private": self._private,
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
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.Insert,
            self._on_bell,
            table=BELLS,
            schema="public",
        )
        channel.on_broadcast("ping", self._on_echo)
        return channel

    async def _ping(self, channel: AsyncRealtimeChannel) -> None:
        """Send a message to oneself; only its return proves that the socket lives."""
        self._echoed.clear()
        try:
            async with asyncio.timeout(ECHO_SECONDS):
                await channel.send_broadcast("ping", {"from": self._id})
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
            kind = JoinRefusedError if self._refused else ConnectionLostError
            raise kind(self._ended.result())

    # --- callbacks: the library's listening task dies of an exception, so these cannot raise ---

    def _on_status(self, state: RealtimeSubscribeStates, error: Exception | None) -> None:
        if state is RealtimeSubscribeStates.SUBSCRIBED:
            self._joined.set()
        elif not self._ended.done():
            self._ended.set_result(f"channel {state.value.lower()}{f': {error}' if error else ''}")
            self._refused = (
                state is RealtimeSubscribeStates.CHANNEL_ERROR and not self._joined.is_set()
            )

    def _on_system(self, payload: Any) -> None:
        """Only now does the database feed run: the join's own answer comes seconds earlier."""
        if payload.extension == "postgres_changes" and payload.status == "ok":
            self._proven = False  # the feed has begun anew
            self._ready.set()
            self._wake(WakeReason.FEED)  # what was inserted before is not announced

    def _on_insert(self, _payload: object) -> None:
        self._wake(WakeReason.INSERT)

    def _on_bell(self, payload: Any) -> None:
        try:
            bell = payload["data"]["record"]
            kind, number = bell["kind"], bell["id"]
        except (LookupError, TypeError):  # a bell it is all the same
            kind, number = WakeReason.UPLOAD, None
        if kind == "probe":
            self._heard.put_nowait(number)
        else:
            self._wake(WakeReason.MISSED if kind == "missed" else WakeReason.UPLOAD)

    def _on_echo(self, payload: Any) -> None:
        with suppress(LookupError, TypeError):
            if payload["payload"]["from"] == self._id:
                self._echoed.set()
