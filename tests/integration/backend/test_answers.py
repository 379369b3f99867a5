"""Whatever a gateway, PostgREST or Storage answers is sorted by whose fault it is."""

from __future__ import annotations

import io
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from worker.backend import rest
from worker.backend.connection import Connection, connect
from worker.backend.object_store import ObjectStore
from worker.backend.uploads import Uploads
from worker.errors import (
    BucketMissingError,
    KeyRefusedError,
    MigrationMissingError,
    ObjectMissingError,
    ObjectRefusedError,
    PathTakenError,
    RejectedError,
    SizeMismatchError,
    UnavailableError,
    UploadRefusedError,
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


def _storage(status: str, error: str, message: str = "no luck") -> dict[str, Any]:
    return {"statusCode": status, "error": error, "message": message}


async def _rows(connection: Connection) -> object:
    return await rest.rows(connection.supabase.table("t").select("*"))


async def _check(connection: Connection) -> object:
    return await ObjectStore(connection, "bucket").check()


async def _upload(connection: Connection) -> object:
    with tempfile.NamedTemporaryFile() as file:
        uploads = Uploads(connection, "bucket")
        return await uploads.upload("a/b.c3d", Path(file.name), lambda _: None)


async def _find(connection: Connection) -> object:
    return await Uploads(connection, "bucket").find("a/b.c3d")


async def _fetch(connection: Connection) -> object:
    store = ObjectStore(connection, "bucket")
    return await store.fetch("a/b.c3d", io.BytesIO(), size=1000, max_bytes=10_000)


@pytest.mark.parametrize(
    ("ask", "status", "body", "error"),
    [
        (_rows, 200, HTML, UnavailableError),
        (_rows, 200, {"a": 1}, UnavailableError),
        (_rows, 502, HTML, UnavailableError),
        (_rows, 503, {"message": "name resolution failed"}, UnavailableError),
        (_rows, 404, HTML, UnavailableError),
        (_rows, 400, "", UnavailableError),
        (_rows, 429, HTML, UnavailableError),
        (_rows, 401, {"message": "Invalid API key"}, KeyRefusedError),
        (_fetch, 400, _storage("404", "not_found", "Object not found"), ObjectMissingError),
        (_fetch, 400, _storage("404", "Bucket not found"), BucketMissingError),
        (_fetch, 400, _storage("403", "Unauthorized", "jwt expired"), KeyRefusedError),
        (_fetch, 400, _storage("400", "InvalidJWT", "jwt expired"), KeyRefusedError),
        (_fetch, 400, _storage("400", "TenantNotFound", "Missing tenant"), UnavailableError),
        (_fetch, 400, _storage("500", "InternalError", "a/b.c3d"), UnavailableError),
        (_fetch, 400, _storage("400", "NewCode", "a/b.c3d"), UnavailableError),
        (_fetch, 400, {"code": "NoSuchKey", "message": "gone"}, ObjectMissingError),
        (_fetch, 400, {"code": "NoSuchBucket", "message": "gone"}, BucketMissingError),
        (_fetch, 400, {"statusCode": "400", "error": "InvalidKey"}, ObjectRefusedError),
        (_fetch, 416, {"code": "InvalidRange"}, SizeMismatchError),
        (_fetch, 400, HTML, UnavailableError),
        (_fetch, 404, HTML, UnavailableError),
        (_fetch, 404, "", UnavailableError),
        (_fetch, 400, {}, UnavailableError),
        (_fetch, 400, [], UnavailableError),
        (_fetch, 423, _storage("423", "locked"), UnavailableError),
        (_fetch, 503, HTML, UnavailableError),
        (_fetch, 544, _storage("544", "timeout"), UnavailableError),
        (_fetch, 200, HTML, SizeMismatchError),
        (_check, 400, {"code": "NoSuchBucket"}, BucketMissingError),
        (_check, 400, _storage("404", "Bucket not found"), BucketMissingError),
        (_check, 400, _storage("400", "TenantNotFound"), UnavailableError),
        (_check, 400, _storage("404", "not_found", "Object not found"), UnavailableError),
        (_check, 404, HTML, UnavailableError),
        (_upload, 400, {"code": "KeyAlreadyExists"}, PathTakenError),
        (_upload, 400, _storage("409", "Duplicate"), PathTakenError),
        (_upload, 400, {"code": "NoSuchBucket"}, BucketMissingError),
        (_upload, 400, _storage("400", "TenantNotFound"), UnavailableError),
        (_upload, 400, _storage("403", "Unauthorized"), KeyRefusedError),
        (_upload, 400, _storage("413", "Payload too large"), UploadRefusedError),
        (_upload, 404, HTML, UnavailableError),
        (_upload, 200, HTML, UnavailableError),
        (_find, 400, _storage("404", "not_found", "Object not found"), UploadRefusedError),
        (_find, 400, _storage("400", "TenantNotFound"), UnavailableError),
        (_find, 200, "", UnavailableError),
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
    assert not issubclass(error, UnavailableError) or "a/b.c3d" not in str(caught.value)
    assert KEY not in str(caught.value)
    assert "nginx" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "PGRST301", KeyRefusedError),  # JWT expired
        (401, "PGRST302", KeyRefusedError),  # anonymous access is disabled
        (401, "PGRST303", KeyRefusedError),  # claims of the JWT
        (400, "PGRST301", KeyRefusedError),
        (403, "42501", KeyRefusedError),  # permission denied
        (400, "42501", KeyRefusedError),
        (403, "28000", KeyRefusedError),  # invalid authorization
        (400, "PGRST200", MigrationMissingError),  # no such relationship
        (404, "PGRST202", MigrationMissingError),  # no such function
        (400, "PGRST204", MigrationMissingError),  # no such column
        (404, "PGRST205", MigrationMissingError),  # no such table
        (404, "42P01", MigrationMissingError),
        (404, "42883", MigrationMissingError),
        (400, "42703", MigrationMissingError),
        (400, "22003", RejectedError),  # out of range
        (400, "22P02", RejectedError),  # not the text of that type
        (400, "22P05", RejectedError),  # untranslatable character
        (400, "23502", RejectedError),  # not null
        (409, "23503", RejectedError),  # foreign key
        (400, "23514", RejectedError),  # check
        (400, "23P01", RejectedError),  # exclusion
        (406, "PGRST116", RejectedError),  # not one row
        (409, "23505", RejectedError),  # unique
        (400, "", UnavailableError),  # PostgREST is shutting down
        (400, None, UnavailableError),
        (503, "PGRST000", UnavailableError),  # no connection
        (503, "PGRST001", UnavailableError),
        (503, "PGRST002", UnavailableError),  # no schema cache
        (504, "PGRST003", UnavailableError),  # no connection in time
        (400, "PGRST100", UnavailableError),
        (500, "PGRSTX00", UnavailableError),
        (503, "08006", UnavailableError),  # connection lost
        (405, "25006", UnavailableError),  # read only
        (400, "25006", UnavailableError),
        (500, "40001", UnavailableError),  # serialization
        (400, "40001", UnavailableError),
        (500, "40P01", UnavailableError),  # deadlock
        (400, "42601", UnavailableError),  # syntax
        (503, "53300", UnavailableError),  # too many connections
        (400, "53100", UnavailableError),  # disk full
        (500, "54000", UnavailableError),  # limit exceeded
        (500, "55P03", UnavailableError),  # lock not available
        (400, "55P03", UnavailableError),
        (500, "57014", UnavailableError),  # query cancelled
        (400, "57P01", UnavailableError),  # shutdown by the administrator
        (500, "58030", UnavailableError),  # input or output
        (500, "XX000", UnavailableError),  # internal
        (400, "P0001", UnavailableError),  # raised by SQL
        (400, "P0002", UnavailableError),
        (422, "ABCDE", UnavailableError),  # of nobody
        (400, "400", UnavailableError),
        (429, "23505", UnavailableError),  # the status says it before the code
        (500, "22003", UnavailableError),
    ],
)
async def test_postgrest_is_sorted_by_its_status_and_its_code(
    status: int, code: str | None, error: type[WorkerError]
) -> None:
    async with _answering(status, _postgrest(code)) as connection:
        with pytest.raises(error) as caught:
            await _rows(connection)
    assert type(caught.value) is error


async def test_values_that_break_a_rule_ask_nobody_to_report_a_file() -> None:
    async with _answering(400, _postgrest("23514", 'violates check "even"')) as connection:
        with pytest.raises(RejectedError) as caught:
            await _rows(connection)
    assert caught.value.code == "rejected"
    assert 'violates check "even"' in str(caught.value)
    assert "report" not in str(caught.value)


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


@pytest.mark.parametrize("path", ["../secrets", "./a", "", "a/.."])
async def test_a_path_that_could_leave_the_bucket_is_not_an_object(path: str) -> None:
    async with _answering(200, HTML) as connection:
        with pytest.raises(ObjectRefusedError):
            await ObjectStore(connection, "bucket").fetch(path, io.BytesIO(), size=1, max_bytes=10)
