"""A relay in front of the stack that counts requests and bytes, and can make Storage slow.

It passes bytes on as they come, so that it costs little and holds nothing, however large a file.
A chunk of the client's that begins like a request is one: HTTP clients here do not pipeline.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

from worker.local.ports import HOST
from worker.local.stack import StackInfo

CHUNK = 256 * 1024  # bytes
REQUEST = re.compile(rb"(?:GET|HEAD|POST|PUT|PATCH|DELETE) (/[^ ?]*)\S* HTTP/1")
OBJECT = "/storage/v1/object/"
REALTIME = "/realtime/v1/websocket"


class Relay:
    """One address in front of a stack."""

    def __init__(self, stack: StackInfo, *, object_delay: float = 0.0) -> None:
        """Bind; `object_delay` is how many seconds Storage takes to begin an answer."""
        self._stack = stack
        self._object_delay = object_delay
        self._port = 0
        self._serving: set[asyncio.Task[None]] = set()
        self.requests: Counter[str] = Counter()  # by what is asked for; Realtime is none
        self.received = 0  # bytes that the stack sent

    @property
    def stack(self) -> StackInfo:
        """The stack as a worker behind this relay sees it."""
        return replace(self._stack, url=f"http://{HOST}:{self._port}")

    def reset(self) -> None:
        """Count from zero."""
        self.requests.clear()
        self.received = 0

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Relay]:
        """Listen on a free port until the block ends."""
        server = await asyncio.start_server(self._connected, HOST, 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def _connected(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        stack, request = await asyncio.open_connection(HOST, urlsplit(self._stack.url).port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask(client, request))
                group.create_task(self._tell(stack, answer))
        except* OSError:
            pass  # either side went away
        except* asyncio.CancelledError:
            pass  # `serve` ends; a cancelled handler would be reported as a failure
        finally:
            request.close()
            answer.close()

    async def _ask(self, client: asyncio.StreamReader, request: asyncio.StreamWriter) -> None:
        while chunk := await client.read(CHUNK):
            if found := REQUEST.match(chunk):
                path = found[1].decode("ascii", "replace")
                if path != REALTIME:
                    self.requests[_kind(path)] += 1
                if self._object_delay and path.startswith(OBJECT):
                    await asyncio.sleep(self._object_delay)
            request.write(chunk)
            await request.drain()
        with suppress(OSError):
            request.write_eof()

    async def _tell(self, stack: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        while chunk := await stack.read(CHUNK):
            self.received += len(chunk)
            answer.write(chunk)
            await answer.drain()
        with suppress(OSError):
            answer.write_eof()


def _kind(path: str) -> str:
    """Name what is asked for: a function, a table, an object."""
    return "download" if path.startswith(OBJECT) else path.rpartition("/")[2]
