"""Connections that are held open with half a request hold up nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from worker.backend.upload_queue import UploadQueue
from worker.intake import webhook_service
from worker.intake.webhook_service import ADDRESS, WebhookService
from worker.intake.webhook_signature import Signatures
from worker.service.http_protocol import MAX_CONNECTIONS
from worker.service.http_server import HttpServer, bind

SECRET = "whsec_dGVzdHMgcGxhbnQgc2VjcmV0cywgYXMgbG9uZyBhcyB0aGlz"
HALF_A_HEADER = b"GET /healthz HTTP/1.1\r\nHost: work"
HALF_A_BODY = f"POST {ADDRESS} HTTP/1.1\r\nHost: w\r\nContent-Length: 900\r\n\r\n{{".encode()
END = b"\r\n\r\n"  # of a header
WHOLE = b"GET /slow HTTP/1.1\r\nHost: w\r\n\r\n"


class NoQueue(UploadQueue):
    """Is never reached."""

    def __init__(self) -> None: ...


async def _health(_: Request) -> Response:
    return PlainTextResponse("The claim loop turns.\n")


async def _slow(_: Request) -> Response:
    await asyncio.sleep(3.0)
    return PlainTextResponse("At last.\n")


class Client:
    """Opens connections to a server, and asks it for its health."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(writer)
        writer.write(sent)
        return reader, writer

    async def health(self) -> int:
        async with asyncio.timeout(1.0), httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{self._port}/healthz")).status_code

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def _served() -> AsyncIterator[Client]:
    webhooks = WebhookService(
        queue=NoQueue(), signatures=Signatures(SECRET), wake_intake=lambda: None
    )
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        routes = [Route("/healthz", _health), Route("/slow", _slow), *webhooks.routes()]
        server = HttpServer(routes, listener)
        running = asyncio.create_task(server.run())
        client = Client(port)
        try:
            yield client
        finally:
            await client.close()
            server.stop()
            await running


async def test_400_half_open_connections_leave_health_answered() -> None:
    async with _served() as client:
        readers = []
        for number in range(400):
            reader, _ = await client.open(HALF_A_BODY if number % 4 == 0 else HALF_A_HEADER)
            readers.append(reader)
        for _ in range(10):
            assert await client.health() == 200
            await asyncio.sleep(0.05)
        ended = [reader.at_eof() or reader.exception() is not None for reader in readers]
    assert sum(ended) >= 400 - MAX_CONNECTIONS  # the rest is bounded
    assert all(ended[: 400 - MAX_CONNECTIONS])  # the oldest went


async def test_a_request_that_is_being_answered_outlives_half_open_ones() -> None:
    async with _served() as client:
        reader, _ = await client.open(WHOLE)
        for _ in range(400):
            await client.open(HALF_A_HEADER)
        async with asyncio.timeout(10.0):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_requests_that_are_being_answered_leave_room_for_health() -> None:
    async with _served() as client:
        for _ in range(300):
            await client.open(WHOLE)
        assert await client.health() == 200


@pytest.mark.parametrize("sent", [b"", HALF_A_HEADER, HALF_A_BODY])
async def test_a_request_that_does_not_arrive_in_time_ends_its_connection(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.service.http_protocol.REQUEST_SECONDS", 0.3)
    async with _served() as client:
        reader, writer = await client.open(sent)
        assert await _until_the_end(reader, writer) == b""
        assert await client.health() == 200


async def test_the_second_request_of_a_connection_has_its_own_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.service.http_protocol.REQUEST_SECONDS", 0.5)
    async with _served() as client:
        reader, writer = await client.open(b"")
        for _ in range(4):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: w\r\n\r\n")
            answer = await reader.readuntil(b"turns.\n")
            assert answer.startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.2)
        writer.write(HALF_A_HEADER)
        async with asyncio.timeout(2.0):
            assert await reader.read() == b""


async def test_a_body_that_trickles_is_answered_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_service, "BODY_SECONDS", 0.3)
    async with _served() as client:
        head, _, body = (await _until_the_end(*await client.open(HALF_A_BODY))).partition(END)
    assert head.startswith(b"HTTP/1.1 408")
    assert "in time" in json.loads(body)["error"]


async def _until_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Trickle bytes, which gains no time, and return what was answered before the end."""

    async def trickle() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.02)

    trickling = asyncio.create_task(trickle())
    answer = b""
    try:
        async with asyncio.timeout(2.0):
            while part := await reader.read(1000):
                answer += part
    except ConnectionError:
        pass
    finally:
        trickling.cancel()
    return answer
