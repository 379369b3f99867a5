"""The gateway: REST, Storage and Realtime behind one port, as on the platform."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
from aiohttp import web
from yarl import URL

from worker.local import keys
from worker.local.outgoing import outgoing
from worker.local.postgres import SUPERUSER, as_role
from worker.local.realtime.server import Realtime, realtime
from worker.local.storage.access import Access
from worker.local.storage.files import CHUNK, Files
from worker.local.storage.routes import add_storage

_ONE_HOP: Final = frozenset({"connection", "host", "keep-alive", "transfer-encoding", "upgrade"})
_REST: Final = "/rest/v1"
_CLOSE_SECONDS: Final = 2.0  # for requests that are still running


@asynccontextmanager
async def gateway(
    listener: socket.socket, database_url: str, postgrest_url: str, objects: Path
) -> AsyncIterator[Realtime]:
    """Serve the API on a bound socket until the block ends; yield its Realtime.

    Args:
        listener: the bound socket.
        database_url: of the cluster, as role postgres.
        postgrest_url: where requests for REST are forwarded.
        objects: the directory for Storage's files.
    """
    async with (
        realtime(as_role(database_url, SUPERUSER)) as changes,
        outgoing(as_role(database_url, SUPERUSER)),
        asyncpg.create_pool(
            as_role(database_url, "supabase_storage_admin"),
            min_size=0,
            max_size=8,
            statement_cache_size=0,
        ) as pool,
        aiohttp.ClientSession(auto_decompress=False) as http,
    ):
        application = web.Application()
        rest = _RestProxy(http, postgrest_url)
        application.router.add_route("*", _REST + "{tail:(/.*)?}", rest.forward)
        application.router.add_get("/realtime/v1/websocket", changes.connect)
        add_storage(application, Access(pool), Files(objects))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_CLOSE_SECONDS)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield changes
        finally:
            await changes.close_sockets()
            await runner.cleanup()


class _RestProxy:
    """Forwards requests to PostgREST, and streams the answers."""

    def __init__(self, http: aiohttp.ClientSession, postgrest_url: str) -> None:
        self._http = http
        self._postgrest_url = postgrest_url

    async def forward(self, request: web.Request) -> web.StreamResponse:
        headers = [
            (name, value)
            for name, value in request.headers.items()
            if name.lower() not in _ONE_HOP and name.lower() != "authorization"
        ]
        headers.append(("Authorization", f"Bearer {keys.token_of(request)}"))
        path = request.raw_path.removeprefix(_REST) or "/"
        try:
            async with self._http.request(
                request.method,
                URL(self._postgrest_url + path, encoded=True),
                headers=headers,
                # Not streamed: PostgREST refuses some requests unread, and drops the connection.
                data=await request.read() if request.body_exists else None,
                allow_redirects=False,
            ) as answer:
                return await _passed_on(request, answer)
        except aiohttp.ClientConnectionError:
            text = "An invalid response was received from the upstream server"
            return web.json_response({"message": text}, status=502)
        except ConnectionResetError:
            return web.Response()  # the client disconnected during its request


async def _passed_on(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in answer.headers.items():
        if name.lower() not in _ONE_HOP:
            response.headers.add(name, value)
    await response.prepare(request)
    async for chunk in answer.content.iter_chunked(CHUNK):
        await response.write(chunk)
    await response.write_eof()
    return response
