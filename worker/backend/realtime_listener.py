"""Realtime, supervised: it wakes the worker for a new session or an upload, and carries no data.

Realtime promises nothing: what happens while nobody is subscribed is not replayed, and a
connection can die without a sign. So the listener also wakes the worker whenever something may
have been missed, and the poll reads the queues whatever is heard. A connection in doubt is
not repaired: the listener throws it away and builds a new client.

Realtime can also say that all is well and hear nothing. Only a change that was made and heard
proves the contrary, so the listener has a probe inserted into `worker_bells`, after every
subscription and now and then, and waits to hear it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from worker.backend.realtime_connection import (
    ConnectionLostError,
    DeafError,
    JoinRefusedError,
    RealtimeConnection,
    RingProbe,
    WakeReason,
)
from worker.backoff import backoff
from worker.errors import UnavailableError

CLOSE_SECONDS = 1.0  # a goodbye at the end is polite, waiting for an answer is not
INITIAL_PAUSE, MAX_PAUSE = 0.5, 30.0  # seconds between two connections
MAX_DEAF_PAUSE = 60.0  # seconds; each attempt inserts probes

STATES = frozenset({WakeReason.READY, WakeReason.GAP, WakeReason.DEAF})

log = structlog.get_logger(__name__)


async def prove(url: str, key: str, ring_probe: RingProbe, *, seconds: float) -> None:
    """Connect once, and wait until a probe is heard.

    Raises:
        ConnectionLostError: none is, and why.
        UnavailableError: no probe can be inserted.
    """
    try:
        await _prove(url, key, ring_probe, seconds, private=True)
    except JoinRefusedError:
        await _prove(url, key, ring_probe, seconds, private=False)


async def _prove(
    url: str, key: str, ring_probe: RingProbe, seconds: float, *, private: bool
) -> None:
    connection = RealtimeConnection(
        f"{url}/realtime/v1", key, ring_probe, lambda _: None, private=private
    )
    try:
        await connection.join(seconds)
        await connection.prove()
    except (ConnectionLostError, UnavailableError):
        raise
    except Exception as error:  # noqa: BLE001 - the client library raises any kind
        raise ConnectionLostError(_reason(error, key)) from None
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.close()


class RealtimeListener:
    """Keeps one Realtime connection alive, and calls `wake` from it."""

    def __init__(
        self, url: str, key: str, ring_probe: RingProbe, wake: Callable[[WakeReason], None]
    ) -> None:
        """`url` is the project's; `wake` is called on the event loop and must not block."""
        self._url = f"{url}/realtime/v1"
        self._key = key
        self._ring_probe = ring_probe
        self._on_wake = wake
        self._closing: set[asyncio.Task[None]] = set()
        self.state = WakeReason.GAP  # READY: inserts are heard; DEAF, GAP: they are not
        self._was_ready = False  # ever, on whichever connection

    async def run(self) -> None:
        """Connect, listen, and begin anew whenever a connection ends; until cancelled."""
        try:
            await self._supervise()
        finally:
            if self._closing:
                await asyncio.wait(self._closing, timeout=CLOSE_SECONDS)

    async def _supervise(self) -> None:
        failures, told = 0, ""
        private = True
        while True:
            connection = RealtimeConnection(
                self._url, self._key, self._ring_probe, self._wake, private=private
            )
            why, refused = WakeReason.GAP, False
            try:
                await connection.listen()
            except DeafError as error:
                reason, why = str(error), WakeReason.DEAF
            except JoinRefusedError as error:
                reason, refused = str(error), True
            except ConnectionLostError as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001 - the client library raises any kind
                reason = _reason(error, self._key)
            finally:
                self._discard(connection)
            private = not (private and refused)  # public only right after it was refused
            if connection.was_ready:
                failures, told = 0, ""
            failures += 1
            deaf = why is WakeReason.DEAF
            pause = backoff(
                failures, initial=INITIAL_PAUSE, maximum=MAX_DEAF_PAUSE if deaf else MAX_PAUSE
            )
            seconds = round(pause, 1)
            if reason == told:  # an outage is one line, however long it lasts
                log.debug("realtime_retried", reason=reason, retry_in=seconds)
            else:
                log.warning(
                    "realtime_deaf" if deaf else "realtime_lost", reason=reason, retry_in=seconds
                )
            told = reason
            self._wake(why)
            await asyncio.sleep(pause)

    def _wake(self, why: WakeReason) -> None:
        if why is WakeReason.READY and self.state is not WakeReason.READY:
            log.info("realtime_ready", again=self._was_ready)
            self._was_ready = True
        if why in STATES:  # another may come late, from a connection that is closing
            self.state = why
        self._on_wake(why)

    def _discard(self, connection: RealtimeConnection) -> None:
        """Close in the background: closing a half-open socket takes ten seconds."""
        task = asyncio.create_task(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _reason(error: Exception, key: str) -> str:
    """What an error of the client library says; its messages can repeat the address."""
    return f"{type(error).__name__}: {error}".replace(key, "…")
