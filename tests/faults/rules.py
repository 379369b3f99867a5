"""What can happen to an HTTP request on its way: one rule for each kind of trouble."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aiohttp import web

HTML = "<html><body><h1>502 Bad Gateway</h1><hr>nginx</body></html>"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the stack said, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that waits at the proxy, and the way on to the stack."""

    request: web.Request
    pass_on: Callable[[], Awaitable[Answer]]

    def hang_up(self) -> web.Response:
        """Reset the connection; nobody reads the response."""
        if self.request.transport is not None:
            self.request.transport.abort()
        return web.Response()

    async def deliver(self) -> web.Response:
        """Pass the request on and its answer back."""
        return delivered(await self.pass_on())


Trouble: TypeAlias = "Callable[[Exchange], Awaitable[web.StreamResponse]]"


@dataclass(slots=True)
class Rule:
    """Applies a trouble to the requests whose path fits, `times` of them at most."""

    path: re.Pattern[str]
    trouble: Trouble
    times: int | None = None
    hits: int = 0
    applied: asyncio.Event = field(default_factory=asyncio.Event)

    def fits(self, path: str) -> bool:
        return (self.times is None or self.hits < self.times) and bool(self.path.search(path))

    async def apply(self, exchange: Exchange) -> web.StreamResponse:
        self.hits += 1
        self.applied.set()
        return await self.trouble(exchange)


def delivered(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


async def refuse(exchange: Exchange) -> web.StreamResponse:
    """Reset the connection before anything reaches the stack."""
    return exchange.hang_up()


async def lose_reply(exchange: Exchange) -> web.StreamResponse:
    """Let the stack do it, and reset the connection instead of answering."""
    await exchange.pass_on()
    return exchange.hang_up()


def delay(seconds: float) -> Trouble:
    async def trouble(exchange: Exchange) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await exchange.deliver()

    return trouble


def answer_late(seconds: float) -> Trouble:
    """Let the stack do it at once, and answer later, or never where the client gave up."""

    async def trouble(exchange: Exchange) -> web.StreamResponse:
        answer = await exchange.pass_on()
        await asyncio.sleep(seconds)
        return delivered(answer)

    return trouble


def say(status: int, body: str = HTML, **headers: str) -> Trouble:
    """Answer as a gateway would, without asking the stack."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    kind = "application/json" if body.startswith("{") else "text/html"

    async def trouble(_exchange: Exchange) -> web.StreamResponse:
        return web.Response(status=status, text=body, content_type=kind, headers=named)

    return trouble


def throttle(bytes_per_second: int, piece: int = 4096) -> Trouble:
    async def trouble(exchange: Exchange) -> web.StreamResponse:
        answer = await exchange.pass_on()
        response = await _begun(exchange, answer)
        for start in range(0, len(answer.body), piece):
            await response.write(answer.body[start : start + piece])
            await asyncio.sleep(piece / bytes_per_second)
        await response.write_eof()
        return response

    return trouble


async def cut(exchange: Exchange) -> web.StreamResponse:
    """Announce the whole body, send half of it, reset the connection."""
    answer = await exchange.pass_on()
    response = await _begun(exchange, answer)
    await response.write(answer.body[: len(answer.body) // 2])
    await asyncio.sleep(0.02)  # the half gets there before the reset
    exchange.hang_up()
    return response


async def shorten(exchange: Exchange) -> web.StreamResponse:
    """End the body early as if it were whole, as a proxy does that framed it anew."""
    answer = await exchange.pass_on()
    return delivered(Answer(answer.status, answer.headers, answer.body[: len(answer.body) // 2]))


async def spoil(exchange: Exchange) -> web.StreamResponse:
    """Flip one bit in the middle of the body."""
    answer = await exchange.pass_on()
    middle = len(answer.body) // 2
    turned = bytes([answer.body[middle] ^ 1])
    body = answer.body[:middle] + turned + answer.body[middle + 1 :]
    return delivered(Answer(answer.status, answer.headers, body))


async def _begun(exchange: Exchange, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(exchange.request)
    return response
