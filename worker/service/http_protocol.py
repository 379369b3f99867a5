"""Bounds what one HTTP connection may take, so that no client keeps another from an answer.

uvicorn limits the time of idle connections, and no other: half a request is waited for without
end. Its limit of connections refuses everybody beyond it, who asks for the health included.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 256  # beyond these the one that has waited longest for a request makes room
REQUEST_SECONDS = 20.0  # for all of a request to arrive, from its first byte on


class BoundedProtocol(H11Protocol):
    """Ends a connection whose request does not arrive in time, or that another one needs."""

    _deadline: asyncio.TimerHandle | None = None
    _since = 0.0  # when it was opened, or last answered, on the event loop's clock

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Expect a request, and make room for it."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._expect_request()
        self._make_room()

    def data_received(self, data: bytes) -> None:
        """Take in a part of a request; what is left of it has to arrive in the same time."""
        super().data_received(data)
        if self._is_waiting:
            self._expect_request()
        else:
            self._forget_deadline()

    def on_response_complete(self) -> None:
        """Note since when the connection is idle; uvicorn ends it soon if it stays so."""
        self._since = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._forget_deadline()
        super().connection_lost(exc)

    @property
    def _is_waiting(self) -> bool:
        """Whether the client has something left to send before it gets an answer."""
        return self.conn.their_state in {h11.IDLE, h11.SEND_BODY}

    def _expect_request(self) -> None:
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _make_room(self) -> None:
        """End the oldest of too many connections; one that is being answered only if all are."""
        others = [
            each
            for each in self.connections
            if isinstance(each, BoundedProtocol)
            and each is not self
            and not each.transport.is_closing()
        ]
        if len(others) >= MAX_CONNECTIONS:
            min(others, key=lambda each: (not each._is_waiting, each._since)).transport.abort()  # noqa: SLF001 - of its own class
