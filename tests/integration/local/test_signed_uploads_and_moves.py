"""The Storage stand-in signs URLs for uploads, and moves objects as the platform does."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

import httpx
import pytest
from storage3._async.file_api import AsyncBucketProxy
from storage3.exceptions import StorageApiError
from storage3.types import CreateSignedUploadUrlOptions
from supabase import AsyncClient

from tests.integration.storing import Seen, key_of
from worker.local import keys
from worker.local.stack import StackInfo

Move = Callable[[dict[str, str]], Awaitable[dict[str, str]]]


@pytest.fixture
def move(stack: StackInfo, http: httpx.AsyncClient) -> Move:
    """Ask for a move, and return what is answered; the library knows no other bucket."""

    async def ask(wish: dict[str, str]) -> dict[str, str]:
        url = f"{stack.url}/storage/v1/object/move"
        answer: dict[str, str] = (await http.post(url, headers=key_of(stack), json=wish)).json()
        return answer

    return ask


async def test_a_signed_url_takes_an_upload_without_a_key(
    bucket: AsyncBucketProxy, http: httpx.AsyncClient, seen: Seen
) -> None:
    signed = await bucket.create_signed_upload_url("P005/a b.c3d")
    assert await seen() == []
    await bucket.upload_to_signed_url("P005/a b.c3d", signed["token"], b"first")
    assert [(row["event"], row["name"]) for row in await seen()] == [("INSERT", "P005/a b.c3d")]
    assert await bucket.download("P005/a b.c3d") == b"first"
    again = await http.put(signed["signed_url"], content=b"second")  # nothing but the token
    assert again.json()["error"] == "Duplicate"
    with pytest.raises(StorageApiError) as refused:
        await bucket.create_signed_upload_url("P005/a b.c3d")
    assert refused.value.code == "Duplicate"


async def test_it_overwrites_if_that_was_signed(bucket: AsyncBucketProxy) -> None:
    await bucket.upload("a.c3d", b"first")
    before = await bucket.info("a.c3d")
    options = CreateSignedUploadUrlOptions(upsert="true")
    signed = await bucket.create_signed_upload_url("a.c3d", options)
    await bucket.upload_to_signed_url("a.c3d", signed["token"], b"second")
    after = await bucket.info("a.c3d")
    assert (after["id"], after["size"]) == (before["id"], 6)
    assert after["version"] != before["version"]


async def test_it_takes_no_other_object_and_not_for_ever(
    stack: StackInfo, bucket: AsyncBucketProxy, http: httpx.AsyncClient
) -> None:
    url = (await bucket.create_signed_upload_url("a.c3d"))["signed_url"]
    other = await http.put(url.replace("a.c3d", "b.c3d"), content=b"x")
    assert (other.status_code, other.json()["error"]) == (400, "InvalidSignature")
    claims = {"url": f"{bucket.id}/a.c3d", "owner": None, "upsert": False}
    address = url.partition("?")[0]
    late = await http.put(f"{address}?token={keys.sign(claims, -1)}", content=b"x")
    assert (late.status_code, late.json()["error"]) == (400, "InvalidJWT")
    stranger = await http.post(address, headers={"apikey": stack.publishable_key})
    assert stranger.json()["statusCode"] == "403"


async def test_a_moved_object_is_the_same_with_a_new_version(
    bucket: AsyncBucketProxy, seen: Seen
) -> None:
    await bucket.upload("a.c3d", b"first")
    await bucket.move("a.c3d", "b.c3d")
    before, after = await seen()
    assert (before["event"], after["event"], after["name"]) == ("INSERT", "UPDATE", "b.c3d")
    assert (before["id"], before["metadata"]) == (after["id"], after["metadata"])
    assert before["version"] != after["version"]


async def test_it_moves_to_another_bucket(
    client: AsyncClient, bucket: AsyncBucketProxy, move: Move, seen: Seen
) -> None:
    other = f"bucket-{uuid.uuid4().hex[:8]}"
    await client.storage.create_bucket(other)
    await bucket.upload("a.c3d", b"first")
    wish = {"bucketId": bucket.id, "sourceKey": "a.c3d", "destinationKey": "b.c3d"}
    moved = await move({**wish, "destinationBucket": other})
    before, after = await seen()
    assert moved["Id"] == str(before["id"]) == str(after["id"])
    assert (after["bucket_id"], after["name"]) == (other, "b.c3d")
    assert before["version"] != after["version"]
    assert await client.storage.from_(other).download("b.c3d") == b"first"
    assert await bucket.list() == []
    assert (await move(wish))["error"] == "not_found"


async def test_a_move_to_nowhere_leaves_the_object(bucket: AsyncBucketProxy, move: Move) -> None:
    await bucket.upload("a.c3d", b"first")
    await bucket.upload("b.c3d", b"second")
    wish = {"bucketId": bucket.id, "sourceKey": "a.c3d", "destinationKey": "b.c3d"}
    assert (await move(wish))["error"] == "Duplicate"
    assert (await move({**wish, "destinationBucket": "absent"}))["statusCode"] == "404"
    assert (await move({**wish, "destinationKey": "ü.c3d"}))["error"] == "InvalidKey"
    assert await bucket.download("a.c3d") == b"first"


async def test_a_copy_is_another_object(bucket: AsyncBucketProxy, seen: Seen) -> None:
    await bucket.upload("a.c3d", b"first")
    await bucket.copy("a.c3d", "b.c3d")
    original, copy = await seen()
    assert (copy["event"], copy["name"]) == ("INSERT", "b.c3d")
    assert original["metadata"] == copy["metadata"]
    assert original["id"] != copy["id"]
    assert original["version"] != copy["version"]
