"""The stand-in for pg_net sends what was committed, byte for byte, once, and notes the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from aiohttp import web

from tests.conftest import RunningStack
from tests.integration.databases import connected, execute, rows
from worker.local.ports import HOST, choose
from worker.local.stack import StackInfo

Requests = list[tuple[str, dict[str, str], bytes]]
POST = """
select net.http_post($1, body => $2::jsonb, params => '{}', headers => '{"x-planted": "yes"}',
  timeout_milliseconds => $3)
"""
BODY = '{"b": 1.50, "a": "ä \\u2028 \\"quoted\\"", "z": null}'


@pytest.fixture
def requests() -> Requests:
    return []


@pytest.fixture
async def listener(requests: Requests) -> AsyncIterator[str]:
    """The address of a server that keeps what it is sent, and answers after a while."""

    async def keep(request: web.Request) -> web.Response:
        requests.append((request.path, dict(request.headers), await request.read()))
        if request.path == "/slow":
            await asyncio.sleep(5)
        return web.Response(text="kept", status=503 if request.path == "/busy" else 201)

    application = web.Application()
    application.router.add_post("/{tail:.*}", keep)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    port = choose(0, "a test")
    await web.TCPSite(runner, HOST, port).start()
    yield f"http://{HOST}:{port}"
    await runner.cleanup()


async def post(stack: StackInfo, url: str, *, milliseconds: int = 5000) -> int:
    """Queue a request and return its number."""
    async with connected(stack.database_url) as database:
        number: int = await database.fetchval(POST, url, BODY, milliseconds)
    return number


async def answer(stack: StackInfo, number: int) -> asyncpg.Record:
    """Wait for what was noted of a request."""
    async with connected(stack.database_url) as database, asyncio.timeout(10):
        query = "select * from net._http_response where id = $1"
        while (row := await database.fetchrow(query, number)) is None:
            await asyncio.sleep(0.02)
    return row


async def test_the_body_goes_out_as_the_text_of_its_jsonb(
    stack: StackInfo, listener: str, requests: Requests
) -> None:
    noted = await answer(stack, await post(stack, f"{listener}/hook"))
    assert (noted["status_code"], noted["content"], noted["timed_out"]) == (201, "kept", False)
    ((path, headers, body),) = requests
    (row,) = await rows(
        stack.database_url, "select convert_to($1::jsonb::text, 'UTF8') as bytes", BODY
    )
    assert (path, body) == ("/hook", row["bytes"])
    assert (headers["Content-Type"], headers["x-planted"]) == ("application/json", "yes")


async def test_what_is_rolled_back_is_never_sent(
    stack: StackInfo, listener: str, requests: Requests
) -> None:
    async with connected(stack.database_url) as database:
        transaction = database.transaction()
        await transaction.start()
        await database.execute(POST, f"{listener}/undone", BODY, 5000)
        await transaction.rollback()
    await answer(stack, await post(stack, f"{listener}/done"))
    assert [path for path, _, _ in requests] == ["/done"]


async def test_a_failure_is_noted_and_never_retried(
    stack: StackInfo, listener: str, requests: Requests
) -> None:
    busy = await answer(stack, await post(stack, f"{listener}/busy"))
    away = await answer(stack, await post(stack, f"http://{HOST}:{choose(0, 'nobody')}/"))
    slow = await answer(stack, await post(stack, f"{listener}/slow", milliseconds=200))
    assert busy["status_code"] == 503
    assert (away["status_code"], away["timed_out"]) == (None, False)
    assert "connect" in away["error_msg"]
    assert (slow["status_code"], slow["timed_out"]) == (None, True)
    await asyncio.sleep(1.5)
    assert [path for path, _, _ in requests] == ["/busy", "/slow"]
    assert await rows(stack.database_url, "select * from net.http_request_queue") == []


async def test_it_goes_on_after_postgres_was_restarted(
    stack: StackInfo, listener: str, requests: Requests, running_stack: RunningStack
) -> None:
    await running_stack.restart_postgres()
    noted = await answer(stack, await post(stack, f"{listener}/after"))
    assert noted["status_code"] == 201
    assert [path for path, _, _ in requests] == ["/after"]


async def test_a_secret_is_kept_encrypted_and_read_by_its_name(migrated_database: str) -> None:
    await execute(migrated_database, "select vault.create_secret('planted ä', 'a_name')")
    (row,) = await rows(migrated_database, "select * from vault.decrypted_secrets")
    assert (row["name"], row["decrypted_secret"]) == ("a_name", "planted ä")
    assert "planted" not in row["secret"]
    async with connected(migrated_database, role="authenticated") as stranger:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await stranger.fetch("select * from vault.decrypted_secrets")
