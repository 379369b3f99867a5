"""However an object comes, its row identifies its bytes: what the SQL of this project relies on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import httpx
import pytest

from tests.integration.harness import Harness
from tests.integration.storing import key_of
from tests.integration.tus import Tus

pytestmark = pytest.mark.contract  # holds on any Supabase

CONTENT = bytes(range(256)) * 10
# `size` as JSON: a number, no text of one.
ROW = """
select id, version, metadata ->> 'size' as size
from storage.objects
where bucket_id = $1 and name = $2 and jsonb_typeof(metadata -> 'size') = 'number'
"""


@dataclass(frozen=True, slots=True)
class Row:
    """An object's row."""

    id: UUID
    version: str
    size: int


async def row_of(harness: Harness, name: str, bucket: str = "") -> Row:
    """Return the one row of an object, which is complete."""
    (found,) = await harness.database.fetch(ROW, bucket or harness.bucket, harness.prefix + name)
    assert isinstance(found["id"], UUID)
    assert found["version"]
    return Row(found["id"], found["version"], int(found["size"]))


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=60) as client:
        yield client


async def test_a_signed_upload(harness: Harness) -> None:
    bucket = harness.connection.supabase.storage.from_(harness.bucket)
    name = f"{harness.prefix}P005/a b.c3d"
    signed = await bucket.create_signed_upload_url(name)
    await bucket.upload_to_signed_url(name, signed["token"], CONTENT)
    assert (await row_of(harness, "P005/a b.c3d")).size == len(CONTENT)


async def test_a_resumable_upload(harness: Harness, http: httpx.AsyncClient) -> None:
    tus, name = Tus(http, harness.stack), f"{harness.prefix}P005/a b.c3d"
    await tus.upload(harness.bucket, name, CONTENT)
    first = await row_of(harness, "P005/a b.c3d")
    assert first.size == len(CONTENT)
    await tus.upload(harness.bucket, name, CONTENT[:-1], x_upsert="true")
    second = await row_of(harness, "P005/a b.c3d")
    assert (second.id, second.size) == (first.id, len(CONTENT) - 1)
    assert second.version != first.version


async def test_a_move(harness: Harness) -> None:
    await harness.upload(CONTENT, "P005/a.c3d")
    first = await row_of(harness, "P005/a.c3d")
    bucket = harness.connection.supabase.storage.from_(harness.bucket)
    await bucket.move(f"{harness.prefix}P005/a.c3d", f"{harness.prefix}P006/b.c3d")
    second = await row_of(harness, "P006/b.c3d")
    assert (second.id, second.size) == (first.id, len(CONTENT))
    assert second.version != first.version


@pytest.fixture
async def other_bucket(harness: Harness) -> AsyncIterator[str]:
    """A second bucket of one's own."""
    name, storage = f"{harness.bucket}-other", harness.connection.supabase.storage
    await storage.create_bucket(name)
    yield name
    await storage.empty_bucket(name)
    await storage.delete_bucket(name)


async def test_a_move_to_another_bucket(
    harness: Harness, other_bucket: str, http: httpx.AsyncClient
) -> None:
    await harness.upload(CONTENT, "P005/a.c3d")
    first = await row_of(harness, "P005/a.c3d")
    answer = await http.post(
        f"{harness.stack.url}/storage/v1/object/move",
        headers=key_of(harness.stack),
        json={
            "bucketId": harness.bucket,
            "sourceKey": f"{harness.prefix}P005/a.c3d",
            "destinationBucket": other_bucket,
            "destinationKey": f"{harness.prefix}P005/a.c3d",
        },
    )
    assert answer.is_success, answer.text
    second = await row_of(harness, "P005/a.c3d", other_bucket)
    assert (second.id, second.size) == (first.id, len(CONTENT))
    assert second.version != first.version
    assert not await harness.database.fetch(ROW, harness.bucket, f"{harness.prefix}P005/a.c3d")


async def test_a_copy(harness: Harness) -> None:
    await harness.upload(CONTENT, "P005/a.c3d")
    bucket = harness.connection.supabase.storage.from_(harness.bucket)
    await bucket.copy(f"{harness.prefix}P005/a.c3d", f"{harness.prefix}P005/b.c3d")
    original, copy = [await row_of(harness, f"P005/{name}.c3d") for name in "ab"]
    assert copy.id != original.id
    assert copy.size == original.size
