"""A proxy between worker and stack that passes everything on, until it is told otherwise."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

from tests.faults.realtime_proxy import RealtimeProxy
from tests.faults.rules import Answer, Exchange, Rule, Trouble
from worker.local.stack import StackInfo

HOST = "127.0.0.1"
ONE_HOP = frozenset(
    {"connection", "content-length", "host", "keep-alive", "transfer-encoding", "upgrade"}
)
REALTIME = "/realtime/v1/websocket"
OBJECTS = r"^/storage/v1/object/c3d-files/"
GATEWAY_502 = "The proxy cannot reach the stack."


class Proxy:
    """One address for a worker; troubles come and go while it runs."""

    def __init__(self, stack: StackInfo) -> None:
        """Bind to a stack; `serve` listens."""
        self._stack = stack
        self._rules: list[Rule] = []
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._port = 0
        self._http: aiohttp.ClientSession | None = None
        self._open: dict[int, asyncio.Transport | None] = {}
        self.realtime = RealtimeProxy(lambda path: f"ws://{HOST}:{urlsplit(stack.url).port}{path}")

    @property
    def stack(self) -> StackInfo:
        """The stack as a worker behind this proxy sees it."""
        return replace(self._stack, url=f"http://{HOST}:{self._port}")

    @contextmanager
    def trouble(self, path: str, trouble: Trouble, times: int | None = None) -> Iterator[Rule]:
        """Apply a trouble to the requests whose path fits a pattern; the newest rule wins."""
        rule = Rule(re.compile(path), trouble, times)
        self._rules.insert(0, rule)
        try:
            yield rule
        finally:
            self._rules.remove(rule)

    async def vanish(self) -> None:
        """Stop listening and reset what is open, as a gateway that died."""
        assert self._site is not None
        await self._site.stop()
        self._site = None
        for transport in [*self._open.values()]:
            if transport is not None:
                transport.abort()
        self.realtime.reset()

    async def return_again(self) -> None:
        """Listen on the same port again."""
        assert self._runner is not None
        self._site = web.TCPSite(self._runner, HOST, self._port, reuse_address=True)
        await self._site.start()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Proxy]:
        """Listen on a free port until the block ends."""
        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/{tail:.*}", self._handle)
        # A client that gives up cancels nothing: its request may still be done, as in life.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        limits = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=limits, auto_decompress=False) as http:
            self._http = http
            await self._runner.setup()
            await self.return_again()
            self._port = self._runner.addresses[0][1]
            try:
                yield self
            finally:
                self.realtime.reset()
                await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        assert self._http is not None
        self._open[id(request)] = request.transport
        try:
            rule = next((rule for rule in self._rules if rule.fits(request.path)), None)
            if request.path == REALTIME:
                return await self.realtime.relay(request, self._http)
            body = await request.read()
            exchange = Exchange(request, lambda: self._pass_on(request, body))
            return await (rule.apply(exchange) if rule else exchange.deliver())
        except aiohttp.ClientConnectionError:
            return web.Response(status=502, text=GATEWAY_502)
        except ConnectionResetError:  # who asked has gone
            return web.Response()
        finally:
            self._open.pop(id(request), None)

    async def _pass_on(self, request: web.Request, body: bytes) -> Answer:
        assert self._http is not None
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ONE_HOP}
        url = URL(self._stack.url + request.raw_path, encoded=True)
        async with self._http.request(
            request.method, url, headers=headers, data=body or None
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in ONE_HOP}
            return Answer(answer.status, kept, await answer.read())
