"""A redirect is followed nowhere: the key would go along to whoever is at its other end."""

from __future__ import annotations

import io
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from worker.backend import rest
from worker.backend.connection import Connection, connect
from worker.backend.installation import Installation
from worker.backend.object_store import ObjectStore
from worker.backend.realtime_connection import ConnectionLostError
from worker.backend.realtime_listener import prove
from worker.backend.uploads import Uploads
from worker.errors import UnavailableError
from worker.settings import Settings

KEY = "sb_secret_planted_by_a_test"
REDIRECTS = [301, 302, 303, 307, 308]


@asynccontextmanager
async def _redirecting(status: int, seen: list[str]) -> AsyncIterator[str]:
    """The address of a server that redirects to another one, which notes what it is asked."""

    async def note(request: web.Request) -> web.Response:
        seen.append(request.path_qs)
        return web.json_response([])

    async def redirect(request: web.Request) -> web.Response:
        # Without a scheme: http and ws keep their own.
        location = str(elsewhere.make_url(request.path_qs)).removeprefix("http:")
        return web.Response(status=status, headers={"Location": location})

    async with _server(note) as elsewhere, _server(redirect) as server:
        yield str(server.make_url("/")).rstrip("/")


def _server(answer: Callable[[web.Request], Awaitable[web.Response]]) -> TestServer:
    application = web.Application()
    application.router.add_route("*", "/{everything:.*}", answer)
    return TestServer(application)


@pytest.mark.parametrize("status", REDIRECTS)
async def test_realtime_follows_no_redirect(status: int) -> None:
    seen: list[str] = []
    async with _redirecting(status, seen) as url:
        with pytest.raises(ConnectionLostError, match=f"HTTP {status}") as caught:
            await prove(url, KEY, _no_probe, seconds=5.0)
    assert seen == []
    assert KEY not in str(caught.value)


async def _no_probe() -> int:
    raise AssertionError("nothing is proven of a connection that is not made")


async def _rows(connection: Connection) -> object:
    return await rest.rows(connection.supabase.table("t").select("*"))


async def _call(connection: Connection) -> object:
    return await rest.rows(connection.supabase.rpc("claim_sessions", {}))


async def _api(connection: Connection) -> object:
    return await Installation(connection).api()


async def _bucket(connection: Connection) -> object:
    return await ObjectStore(connection, "bucket").check()


async def _fetch(connection: Connection) -> object:
    store = ObjectStore(connection, "bucket")
    return await store.fetch("a.c3d", io.BytesIO(), size=2, max_bytes=10)


async def _upload(connection: Connection) -> object:
    with tempfile.NamedTemporaryFile() as file:
        return await Uploads(connection, "bucket").upload("a", Path(file.name), lambda _: None)


@pytest.mark.parametrize("ask", [_rows, _call, _api, _bucket, _fetch, _upload])
@pytest.mark.parametrize("status", REDIRECTS)
async def test_rest_and_storage_follow_no_redirect(
    ask: Callable[[Connection], Awaitable[object]], status: int
) -> None:
    seen: list[str] = []
    async with _redirecting(status, seen) as url:
        key = SecretStr(KEY)
        settings = Settings(_env_file=None, supabase_url=url, supabase_secret_key=key)
        async with connect(settings) as connection:
            with pytest.raises(UnavailableError):
                await ask(connection)
    assert seen == []
