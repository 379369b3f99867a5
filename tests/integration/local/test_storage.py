"""The Storage stand-in answers supabase-py as the platform does, and its rows are real."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest
from storage3._async.file_api import AsyncBucketProxy
from storage3.exceptions import StorageApiError
from supabase import AsyncClient

from tests.conftest import RunningStack
from tests.integration.storing import Seen, key_of
from worker.local.stack import StackInfo

CONTENT = bytes(range(256)) * 10
MEGABYTE = 1024 * 1024


def object_url(stack: StackInfo, bucket: AsyncBucketProxy, name: str) -> str:
    return f"{stack.url}/storage/v1/object/{bucket.id}/{name}"


async def test_what_goes_up_comes_down(bucket: AsyncBucketProxy) -> None:
    await bucket.upload("P005/a b.c3d", CONTENT)
    assert await bucket.download("P005/a b.c3d") == CONTENT
    info = await bucket.info("P005/a b.c3d")
    assert info["size"] == len(CONTENT)
    assert await bucket.exists("P005/a b.c3d")


async def test_a_missing_object_is_http_400_with_404_inside(
    stack: StackInfo, bucket: AsyncBucketProxy, http: httpx.AsyncClient
) -> None:
    assert not await bucket.exists("absent.c3d")
    with pytest.raises(StorageApiError) as refused:
        await bucket.download("absent.c3d")
    assert (refused.value.code, refused.value.status) == ("not_found", "404")
    answer = await http.get(object_url(stack, bucket, "absent.c3d"), headers=key_of(stack))
    assert answer.status_code == 400
    assert answer.json() == {
        "statusCode": "404",
        "error": "not_found",
        "message": "Object not found",
    }


async def test_a_second_upload_is_a_duplicate_unless_it_replaces(
    bucket: AsyncBucketProxy, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await bucket.upload("a.c3d", b"first")
    before = await bucket.info("a.c3d")
    with pytest.raises(StorageApiError) as refused:
        await bucket.upload("a.c3d", b"second")
    assert (refused.value.code, refused.value.status) == ("Duplicate", "409")

    await bucket.upload("a.c3d", b"second", {"upsert": "true"})
    replaced = await bucket.info("a.c3d")
    assert replaced["id"] == before["id"]
    assert replaced["version"] != before["version"]
    await bucket.update("a.c3d", b"third")
    assert await bucket.download("a.c3d") == b"third"
    with pytest.raises(StorageApiError):
        await bucket.update("absent.c3d", b"")
    query = "select count(*) from storage.objects where bucket_id = $1"
    assert await database.fetchval(query, bucket.id) == 1


async def test_a_part_is_served_as_206(
    stack: StackInfo, bucket: AsyncBucketProxy, http: httpx.AsyncClient
) -> None:
    await bucket.upload("a.c3d", CONTENT)
    url = object_url(stack, bucket, "a.c3d")
    for wanted, first, end in (("0-511", 0, 512), ("2000-", 2000, 2560), ("-10", 2550, 2560)):
        answer = await http.get(url, headers=key_of(stack) | {"Range": f"bytes={wanted}"})
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {first}-{end - 1}/2560"
        assert answer.content == CONTENT[first:end]
    answer = await http.get(url, headers=key_of(stack) | {"Range": "bytes=9999-"})
    assert answer.status_code == 416
    answer = await http.head(url, headers=key_of(stack))
    assert answer.headers["Content-Length"] == "2560"


async def test_a_trigger_sees_the_finished_object_once(
    bucket: AsyncBucketProxy, seen: Seen
) -> None:
    await bucket.upload("a.c3d", b"first")
    await bucket.upload("a.c3d", b"second!", {"upsert": "true"})
    rows = await seen()
    assert [row["event"] for row in rows] == ["INSERT", "UPDATE"]
    assert [json.loads(row["metadata"])["size"] for row in rows] == [5, 7]
    assert rows[0]["version"] != rows[1]["version"]


async def test_a_stranger_sees_and_writes_nothing(
    stack: StackInfo, bucket: AsyncBucketProxy, http: httpx.AsyncClient
) -> None:
    await bucket.upload("a.c3d", CONTENT)
    url, anonymous = object_url(stack, bucket, "a.c3d"), {"apikey": stack.publishable_key}
    assert (await http.get(url, headers=anonymous)).json()["statusCode"] == "404"
    refused = await http.post(f"{url}.c3d", headers=anonymous, content=b"x")
    assert (refused.status_code, refused.json()["statusCode"]) == (400, "403")
    listed = await http.post(
        f"{stack.url}/storage/v1/object/list/{bucket.id}", headers=anonymous, json={"prefix": ""}
    )
    assert listed.json() == []


async def test_a_signed_url_needs_no_key(bucket: AsyncBucketProxy, http: httpx.AsyncClient) -> None:
    await bucket.upload("folder/a b.c3d", CONTENT)
    url = (await bucket.create_signed_url("folder/a b.c3d", 60))["signedURL"] or ""
    assert (await http.get(url)).content == CONTENT
    many = await bucket.create_signed_urls(["folder/a b.c3d", "absent"], 60)
    assert [one["error"] is None for one in many] == [True, False]
    assert (await http.get(url.replace("a%20b", "other"))).json()["error"] == "InvalidSignature"


async def test_folders_are_listed_one_level_at_a_time(bucket: AsyncBucketProxy) -> None:
    for name in ("a.c3d", "P005/b.c3d", "P005/c.c3d", "P006/deep/d.c3d"):
        await bucket.upload(name, b"x")
    top = await bucket.list()
    assert [(entry["name"], entry["id"] is None) for entry in top] == [
        ("P005", True),
        ("P006", True),
        ("a.c3d", False),
    ]
    below = await bucket.list("P005", {"limit": 1, "offset": 1})
    assert [entry["name"] for entry in below] == ["c.c3d"]
    assert below[0]["metadata"]["size"] == 1
    assert await bucket.list("absent") == []


async def test_objects_are_moved_copied_and_removed(bucket: AsyncBucketProxy) -> None:
    await bucket.upload("a.c3d", CONTENT)
    await bucket.copy("a.c3d", "b.c3d")
    await bucket.move("a.c3d", "c.c3d")
    assert await bucket.download("b.c3d") == await bucket.download("c.c3d") == CONTENT
    removed = await bucket.remove(["b.c3d", "c.c3d", "absent.c3d"])
    assert sorted(one["name"] for one in removed) == ["b.c3d", "c.c3d"]
    assert await bucket.list() == []


async def test_buckets_have_rules(client: AsyncClient) -> None:
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    await client.storage.create_bucket(name, options={"file_size_limit": 10})
    bucket = client.storage.from_(name)
    with pytest.raises(StorageApiError) as refused:
        await bucket.upload("a.c3d", b"x" * 11)
    assert refused.value.status == "413"
    await client.storage.update_bucket(
        name, {"public": False, "allowed_mime_types": ["image/*"], "file_size_limit": 20}
    )
    with pytest.raises(StorageApiError) as refused:
        await bucket.upload("a.c3d", b"x")
    assert refused.value.status == "415"
    with pytest.raises(StorageApiError) as refused:
        await bucket.upload("ü.c3d", b"x")
    assert refused.value.code == "InvalidKey"
    assert (await client.storage.get_bucket(name)).file_size_limit == 20
    assert name in [one.id for one in await client.storage.list_buckets()]
    with pytest.raises(StorageApiError):
        await client.storage.create_bucket(name)
    await client.storage.empty_bucket(name)
    await client.storage.delete_bucket(name)
    with pytest.raises(StorageApiError) as refused:
        await client.storage.get_bucket(name)
    assert refused.value.status == "404"


async def test_200_megabytes_pass_in_bounded_memory(
    running_stack: RunningStack,
    stack: StackInfo,
    bucket: AsyncBucketProxy,
    http: httpx.AsyncClient,
) -> None:
    async def content() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * MEGABYTE

    gateway = psutil.Process(running_stack.process.pid)
    before = gateway.memory_info().rss
    url = object_url(stack, bucket, "large.c3d")
    (await http.post(url, headers=key_of(stack), content=content())).raise_for_status()
    received = 0
    async with http.stream("GET", url, headers=key_of(stack)) as answer:
        async for chunk in answer.aiter_bytes():
            received += len(chunk)
    assert received == 200 * MEGABYTE
    assert gateway.memory_info().rss - before < 30 * MEGABYTE


async def test_a_cancelled_upload_leaves_neither_row_nor_bytes(
    running_stack: RunningStack,
    stack: StackInfo,
    bucket: AsyncBucketProxy,
    http: httpx.AsyncClient,
) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"x" * MEGABYTE
        raise ConnectionAbortedError

    before = stored(running_stack)
    with pytest.raises(ConnectionAbortedError):
        await http.post(
            object_url(stack, bucket, "a.c3d"), headers=key_of(stack), content=content()
        )
    await asyncio.sleep(0.2)
    assert not await bucket.exists("a.c3d")
    assert stored(running_stack) == before


def stored(running_stack: RunningStack) -> list[Path]:
    return sorted((running_stack.data / "objects").rglob("*.*"))
