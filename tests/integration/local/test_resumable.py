"""The Storage stand-in takes resumable uploads, and what a trigger sees of them is complete."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from pytest_mock import MockerFixture
from storage3._async.file_api import AsyncBucketProxy
from supabase import AsyncClient

from tests.integration.second_gateway import second_gateway
from tests.integration.storing import Seen
from tests.integration.tus import Tus
from worker.local.stack import StackInfo

CONTENT = bytes(range(256)) * 10


@pytest.fixture
def tus(stack: StackInfo, http: httpx.AsyncClient) -> Tus:
    return Tus(http, stack)


async def test_the_last_byte_writes_one_row_that_is_complete(
    bucket: AsyncBucketProxy, tus: Tus, seen: Seen
) -> None:
    begun = await tus.begin(bucket.id, "P005/a b.c3d", 2560)
    assert (begun.status_code, begun.headers["Tus-Resumable"]) == (201, "1.0.0")
    where = begun.headers["Location"]
    sent = await tus.send(where, 0, CONTENT[:1000])
    assert (sent.status_code, sent.headers["Upload-Offset"]) == (204, "1000")
    asked = await tus.ask(where)
    assert (asked.headers["Upload-Offset"], asked.headers["Upload-Length"]) == ("1000", "2560")
    assert asked.headers["Cache-Control"] == "no-store"
    assert await seen() == []
    assert not await bucket.exists("P005/a b.c3d")
    assert (await tus.send(where, 1000, CONTENT[1000:])).headers["Upload-Offset"] == "2560"
    (row,) = await seen()
    assert (row["event"], row["name"]) == ("INSERT", "P005/a b.c3d")
    assert row["version"]
    metadata = json.loads(row["metadata"])
    assert (metadata["size"], metadata["contentLength"]) == (2560, 2560)
    assert metadata["mimetype"] == "application/x-c3d"
    assert metadata["eTag"].endswith('-1"')  # no hash of the content
    assert await bucket.download("P005/a b.c3d") == CONTENT
    assert (await tus.ask(where)).headers["Upload-Offset"] == "2560"
    assert (await tus.send(where, 2560, b"")).status_code == 204
    assert len(await seen()) == 1


async def test_what_arrived_before_a_break_stays(bucket: AsyncBucketProxy, tus: Tus) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield CONTENT[:1000]
        await asyncio.sleep(0.2)
        raise ConnectionAbortedError

    where = (await tus.begin(bucket.id, "a.c3d", 2560)).headers["Location"]
    with pytest.raises(ConnectionAbortedError):
        await tus.send(where, 0, breaking())
    async with asyncio.timeout(5):
        while (await tus.ask(where)).headers["Upload-Offset"] != "1000":
            await asyncio.sleep(0.02)
    assert (await tus.send(where, 1000, CONTENT[1000:])).status_code == 204
    assert await bucket.download("a.c3d") == CONTENT


async def test_mistakes_have_their_true_status(
    bucket: AsyncBucketProxy, tus: Tus, http: httpx.AsyncClient
) -> None:
    where = (await tus.begin(bucket.id, "a.c3d", 2560)).headers["Location"]
    assert (await tus.send(where, 5, CONTENT)).status_code == 409
    assert (await tus.send(where, 0, CONTENT, Tus_Resumable="0.2.2")).status_code == 412
    assert (await tus.send(where, 0, CONTENT + b"x")).status_code == 413
    assert (await tus.send(f"{where}x", 0, CONTENT)).status_code == 404
    assert (await tus.ask(f"{where}x")).status_code == 404
    assert (await tus.begin("absent", "a.c3d", 1)).status_code == 404
    assert (await tus.begin(bucket.id, "ü.c3d", 1)).status_code == 400
    assert (
        await tus.begin(bucket.id, "b.c3d", 1, Upload_Metadata="bucketName ?")
    ).status_code == 400
    assert (await tus.begin(bucket.id, "b.c3d", 1, Upload_Length="-1")).status_code == 400
    without = {"Tus-Resumable": "1.0.0", "apikey": tus.stack.secret_key}
    assert (await http.patch(where, headers=without, content=CONTENT)).status_code == 403


async def test_an_object_is_replaced_only_by_who_says_so(
    bucket: AsyncBucketProxy, tus: Tus
) -> None:
    await bucket.upload("a.c3d", b"first")
    before = await bucket.info("a.c3d")
    assert (await tus.begin(bucket.id, "a.c3d", 2560)).status_code == 409
    await tus.upload(bucket.id, "a.c3d", CONTENT, x_upsert="true")
    after = await bucket.info("a.c3d")
    assert (after["id"], after["size"]) == (before["id"], 2560)
    assert after["version"] != before["version"]

    late = (await tus.begin(bucket.id, "b.c3d", 2560)).headers["Location"]
    await bucket.upload("b.c3d", b"first")
    assert (await tus.send(late, 0, CONTENT)).status_code == 409
    assert await bucket.download("b.c3d") == b"first"


async def test_strangers_and_the_buckets_rules_are_asked_first(
    client: AsyncClient, bucket: AsyncBucketProxy, tus: Tus
) -> None:
    key = tus.stack.publishable_key
    stranger = {"apikey": key, "Authorization": f"Bearer {key}"}
    assert (await tus.begin(bucket.id, "a.c3d", 1, **stranger)).status_code == 403
    where = (await tus.begin(bucket.id, "a.c3d", 1)).headers["Location"]
    assert (await tus.send(where, 0, b"x", **stranger)).status_code == 403
    assert (await tus.ask(where)).headers["Upload-Offset"] == "0"
    await client.storage.update_bucket(bucket.id, {"public": False, "file_size_limit": 10})
    assert (await tus.begin(bucket.id, "b.c3d", 11)).status_code == 413
    await client.storage.update_bucket(
        bucket.id, {"public": False, "allowed_mime_types": ["image/*"]}
    )
    assert (await tus.begin(bucket.id, "b.c3d", 1)).status_code == 415


async def test_an_empty_object_needs_no_second_request(bucket: AsyncBucketProxy, tus: Tus) -> None:
    assert (await tus.begin(bucket.id, "a.c3d", 0)).status_code == 201
    assert await bucket.download("a.c3d") == b""


async def test_an_upload_whose_row_is_refused_begins_anew(
    bucket: AsyncBucketProxy, tus: Tus, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await database.execute("""
        create function refuse() returns trigger language plpgsql as $$
        begin raise exception 'refused on purpose'; end $$;
        create trigger refuse before insert on storage.objects
          for each row when (new.metadata is not null) execute function refuse();
    """)
    where = (await tus.begin(bucket.id, "a.c3d", 2560)).headers["Location"]
    try:
        assert (await tus.send(where, 0, CONTENT)).status_code == 500
    finally:
        await database.execute("drop function refuse cascade")
    assert (await tus.ask(where)).status_code == 404


async def test_an_unfinished_upload_expires(
    stack: StackInfo,
    bucket: AsyncBucketProxy,
    http: httpx.AsyncClient,
    tmp_path: Path,
    mocker: MockerFixture,
) -> None:
    mocker.patch("worker.local.storage.resumable._LIFE_SECONDS", -1.0)
    async with second_gateway(stack, tmp_path) as (there, _):
        tus = Tus(http, there)
        where = (await tus.begin(bucket.id, "a.c3d", 2560)).headers["Location"]
        assert (await tus.ask(where)).status_code == 410
        assert (await tus.send(where, 0, CONTENT)).status_code == 410
