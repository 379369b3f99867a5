"""Whatever a gateway, PostgREST or Storage answers is sorted by whose fault it is."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from worker.backend import rest
from worker.backend.connection import Connection, connect
from worker.backend.object_store import ObjectStore
from worker.errors import (
    AlreadyThereError,
    BucketMissingError,
    KeyRefusedError,
    MigrationMissingError,
    ObjectMissingError,
    ObjectRefusedError,
    RejectedError,
    SizeMismatchError,
    UnavailableError,
    WorkerError,
)
from worker.settings import Settings

KEY = "sb_secret_planted_by_a_test"
HTML = "<html><body>nginx</body></html>"


@asynccontextmanager
async def _answering(
    status: int, body: Any, headers: dict[str, str] | None = None
) -> AsyncIterator[Connection]:
    """A connection to a server that answers everything the same way."""

    async def answer(_: web.Request) -> web.Response:
        if isinstance(body, str):
            return web.Response(status=status, text=body, content_type="text/html", headers=headers)
        return web.json_response(body, status=status, headers=headers)

    application = web.Application()
    application.router.add_route("*", "/{everything:.*}", answer)
    async with TestServer(application) as server:
        settings = Settings(
            _env_file=None,
            supabase_url=str(server.make_url("/")),
            supabase_secret_key=SecretStr(KEY),
        )
        async with connect(settings) as connection:
            yield connection


def _postgrest(code: str | None, message: str = "no luck") -> dict[str, Any]:
    return {"code": code, "message": message, "details": None, "hint": None}


def _storage(status: str, message: str) -> dict[str, Any]:
    return {"statusCode": status, "error": "error", "message": message}


async def _rows(connection: Connection) -> object:
    return await rest.rows(connection.supabase.table("t").select("*"))


async def _fetch(connection: Connection) -> object:
    store = ObjectStore(connection, "bucket")
    return await store.fetch("a/b.c3d", io.BytesIO(), size=1000, max_bytes=10_000)


@pytest.mark.parametrize(
    ("ask", "status", "body", "error"),
    [
        (_rows, 200, HTML, UnavailableError),
        (_rows, 200, {"a": 1}, UnavailableError),
        (_rows, 502, HTML, UnavailableError),
        (_rows, 503, _postgrest("PGRST002"), UnavailableError),
        (_rows, 503, {"message": "name resolution failed"}, UnavailableError),
        (_rows, 500, _postgrest("57014", "canceling statement"), UnavailableError),
        (_rows, 429, HTML, UnavailableError),
        (_rows, 401, {"message": "Invalid API key"}, KeyRefusedError),
        (_rows, 401, _postgrest("PGRST301", "JWT expired"), KeyRefusedError),
        (_rows, 403, _postgrest("42501", "permission denied"), KeyRefusedError),
        (_rows, 404, _postgrest("PGRST205"), MigrationMissingError),
        (_rows, 404, _postgrest("42P01"), MigrationMissingError),
        (_rows, 400, _postgrest("22003", "out of range"), RejectedError),
        (_rows, 409, _postgrest("23505", "duplicate key"), AlreadyThereError),
        (_rows, 400, _postgrest("40001", "could not serialize"), UnavailableError),
        (_fetch, 400, _storage("404", "Object not found"), ObjectMissingError),
        (_fetch, 400, _storage("404", "Bucket not found"), BucketMissingError),
        (_fetch, 400, _storage("403", "invalid JWT"), KeyRefusedError),
        (_fetch, 400, {"code": "NoSuchKey", "message": "gone"}, ObjectMissingError),
        (_fetch, 400, {"code": "NoSuchBucket", "message": "gone"}, BucketMissingError),
        (_fetch, 400, {"statusCode": "400", "error": "InvalidKey"}, ObjectRefusedError),
        (_fetch, 404, HTML, UnavailableError),
        (_fetch, 423, _storage("423", "locked"), UnavailableError),
        (_fetch, 503, HTML, UnavailableError),
        (_fetch, 544, _storage("544", "timeout"), UnavailableError),
        (_fetch, 200, HTML, SizeMismatchError),
    ],
)
async def test_an_answer_is_sorted_by_whose_fault_it_is(
    ask: Callable[[Connection], Awaitable[object]],
    status: int,
    body: Any,
    error: type[WorkerError],
) -> None:
    async with _answering(status, body) as connection:
        with pytest.raises(error) as caught:
            await ask(connection)
    assert type(caught.value) is error
    assert KEY not in str(caught.value)
    assert "nginx" not in str(caught.value)


async def test_a_path_that_storage_refuses_says_what_helps() -> None:
    async with _answering(400, {"statusCode": "400", "error": "InvalidKey"}) as connection:
        with pytest.raises(ObjectRefusedError) as caught:
            await _fetch(connection)
    assert caught.value.code == "object_refused"
    assert str(caught.value).endswith(ObjectRefusedError.cure)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("999999", 600.0),
        ("Wed, 21 Oct 2020 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 600.0),
        ("-1", None),
        ("soon", None),
    ],
)
async def test_retry_after_is_honoured_within_reason(header: str, seconds: float | None) -> None:
    async with _answering(429, HTML, {"Retry-After": header}) as connection:
        with pytest.raises(UnavailableError) as caught:
            await _rows(connection)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("path", ["../secrets", "a//b", "./a", "", "a/.."])
async def test_a_path_that_could_leave_the_bucket_is_not_an_object(path: str) -> None:
    async with _answering(200, HTML) as connection:
        with pytest.raises(ObjectMissingError):
            await ObjectStore(connection, "bucket").fetch(path, io.BytesIO(), size=1, max_bytes=10)
