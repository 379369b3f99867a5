"""A TCP proxy between a worker and its stack that can cut every connection, or freeze it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

from worker.local.stack import StackInfo

CHUNK = 65536


class Interrupter:
    """Passes bytes both ways, until it is told not to."""

    def __init__(self, stack: StackInfo) -> None:
        """Bind to the stack's API port."""
        self._stack = stack
        self._port = urlsplit(stack.url).port
        self._open = True
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._pipes: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def stack(self) -> StackInfo:
        """The stack as the worker behind this proxy sees it."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return replace(self._stack, url=f"http://127.0.0.1:{port}")

    def cut(self) -> None:
        """Drop every connection in the middle of whatever it does, and refuse new ones."""
        self._open = False
        for pipe in self._pipes:
            pipe.transport.abort()

    def freeze(self) -> None:
        """Accept connections and bytes, and answer nothing; mended, they are cut first."""
        self._flowing.clear()

    def mend(self) -> None:
        """Let connections through again."""
        if not self._flowing.is_set():
            self.cut()
        self._open = True
        self._flowing.set()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Interrupter]:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield self
        finally:
            self._server.close()
            self.cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        ends = {writer, back}
        self._pipes |= ends
        try:
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        finally:
            self._pipes -= ends
            for end in ends:
                end.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(CHUNK):
                await self._flowing.wait()
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()
