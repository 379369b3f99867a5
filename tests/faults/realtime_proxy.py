"""The Realtime websocket on its way through the proxy, and all the ways it can go wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

import aiohttp
from aiohttp import ClientConnectionResetError, WSMsgType, web

RESTARTING = 1012  # the close code of a server that restarts
EXPIRED = "Token has expired 1 seconds ago"


class Mode(Enum):
    """How a websocket is treated."""

    OPEN = auto()
    FROZEN = auto()  # nothing passes, no ping is answered, the socket stays
    SILENT = auto()  # pings are answered, no message passes, Phoenix heartbeats included
    ZOMBIE = auto()  # pings, heartbeats and joins are answered; no event, no echo
    DEAF = auto()  # all is answered and "ok", as when a replication slot failed; no change comes
    REFUSED = auto()  # connecting is reset
    FORBIDDEN = auto()  # connecting is answered with 403


HIDDEN = {
    Mode.ZOMBIE: frozenset({"postgres_changes", "broadcast", "system"}),
    Mode.DEAF: frozenset({"postgres_changes"}),
}


@dataclass(eq=False)
class Pair:
    """The two websockets of one client."""

    client: web.WebSocketResponse
    server: aiohttp.ClientWebSocketResponse
    transport: asyncio.Transport | None
    mode: Mode
    topics: dict[str, str | None] = field(default_factory=dict)  # and the ref they joined with


class RealtimeProxy:
    """Every Realtime connection through the proxy."""

    def __init__(self, target: Callable[[str], str]) -> None:
        """`target` turns a path into the stack's URL."""
        self._target = target
        self._pairs: set[Pair] = set()
        self.mode = Mode.OPEN  # of connections to come
        self._echo = asyncio.Event()

    async def next_echo(self) -> None:
        """Wait until a worker gets its broadcast back: the longest time until it sends the next."""
        self._echo.clear()
        await self._echo.wait()

    def treat(self, mode: Mode) -> None:
        """Treat every connection so, those to come included."""
        self.mode = mode
        for pair in self._pairs:
            pair.mode = mode

    def treat_new(self, mode: Mode) -> None:
        """Treat connections to come so; those that are there stay as they are."""
        self.mode = mode

    async def close(self) -> None:
        """Close every connection, as a server that restarts."""
        await asyncio.gather(*(pair.client.close(code=RESTARTING) for pair in [*self._pairs]))

    def reset(self) -> None:
        """Reset every connection."""
        for pair in [*self._pairs]:
            if pair.transport is not None:
                pair.transport.abort()

    async def expire_tokens(self) -> None:
        """Say to every channel what Realtime says when its token's time is over."""
        for pair in [*self._pairs]:
            for topic, ref in pair.topics.items():
                payload = {
                    "channel": topic.removeprefix("realtime:"),
                    "extension": "system",
                    "status": "error",
                    "message": EXPIRED,
                }
                await _say(pair.client, topic, "system", payload, None)
                await _say(pair.client, topic, "phx_close", {}, ref)

    async def relay(self, request: web.Request, http: aiohttp.ClientSession) -> web.StreamResponse:
        """Serve one connection until either side ends it."""
        if self.mode is Mode.REFUSED and request.transport is not None:
            request.transport.abort()
            return web.Response()
        if self.mode is Mode.FORBIDDEN:
            return web.Response(status=403)
        async with http.ws_connect(self._target(request.raw_path)) as server:
            # A frozen websocket answers no ping, so pings are answered here.
            client = web.WebSocketResponse(autoping=False)
            await client.prepare(request)
            transport = request.transport
            assert transport is not None
            pair = Pair(client, server, transport, self.mode)
            self._pairs.add(pair)
            tasks = [asyncio.create_task(_there(pair)), asyncio.create_task(self._back(pair))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._pairs.discard(pair)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                if not client.closed:
                    await client.close()
        return client

    async def _back(self, pair: Pair) -> None:
        """From the stack to the worker."""
        async for frame in pair.server:
            await _thaw(pair)
            if frame.type is not WSMsgType.TEXT or pair.mode is Mode.SILENT:
                continue
            event = json.loads(frame.data)["event"]
            if event in HIDDEN.get(pair.mode, ()):
                continue
            await pair.client.send_str(frame.data)
            if event == "broadcast":
                self._echo.set()


async def _thaw(pair: Pair) -> None:
    while pair.mode is Mode.FROZEN:
        await asyncio.sleep(0.02)


async def _there(pair: Pair) -> None:
    """From the worker to the stack."""
    while True:
        await _thaw(pair)
        frame = await pair.client.receive()
        await _thaw(pair)
        if frame.type is WSMsgType.PING:
            await pair.client.pong(frame.data)
        elif frame.type is not WSMsgType.TEXT:
            if frame.type is not WSMsgType.PONG:
                return
        elif pair.mode is not Mode.SILENT:
            message = json.loads(frame.data)
            if message["event"] == "phx_join":
                pair.topics[message["topic"]] = message.get("ref")
            await pair.server.send_str(frame.data)


async def _say(
    client: web.WebSocketResponse, topic: str, event: str, payload: object, ref: str | None
) -> None:
    message = {"topic": topic, "event": event, "payload": payload, "ref": ref}
    with suppress(ClientConnectionResetError):  # it is being closed already
        await client.send_str(json.dumps(message))
