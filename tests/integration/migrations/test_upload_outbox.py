"""An upload is noted and rings a bell, in its own transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conftest import CreateDatabase
from tests.integration.databases import Connection, connected, forget_versioning
from tests.integration.migrating import apply
from tests.integration.outbox import (
    BUCKET,
    PATH,
    as_storage,
    bells,
    noted,
    objects,
    upload,
)

SETTINGS = "update public.worker_settings set bucket = $1, every_file = $2"
REFUSE = """
update public.storage_intake
set outcome = 'refused', detail = 'code: Why.', due_at = null, taken_at = now()
"""


@pytest_asyncio.fixture
async def storage(migrated_database: str) -> AsyncIterator[Connection]:
    """Storage's connection."""
    async with as_storage(migrated_database) as connection:
        await connection.execute(BUCKET)
        yield connection


async def forget(owner: Connection) -> None:
    """Forget what was noted and rung."""
    await owner.execute("delete from public.storage_intake; delete from public.worker_bells")


async def test_an_upload_is_noted_and_rings_one_bell(
    storage: Connection, owner: Connection
) -> None:
    await upload(storage)
    (row,) = await owner.fetch("select * from public.storage_intake")
    (stored,) = await owner.fetch("select * from storage.objects")
    assert (row["object_id"], row["version"]) == (stored["id"], "v1")
    assert (row["bucket_id"], row["object_path"]) == ("c3d-files", PATH)
    assert (row["size_bytes"], row["outcome"], row["attempts"]) == (5, "waiting", 0)
    assert row["due_at"] <= await owner.fetchval("select now()")
    assert await bells(owner) == ["upload"]


async def test_an_upload_that_is_rolled_back_leaves_nothing(
    storage: Connection, owner: Connection
) -> None:
    transaction = storage.transaction()
    await transaction.start()
    await upload(storage)
    assert (await noted(owner), await bells(owner)) == ([], [])  # nobody hears of it before
    await transaction.rollback()
    assert (await noted(owner), await bells(owner)) == ([], [])


async def test_an_overwrite_is_an_upload_of_its_own(storage: Connection, owner: Connection) -> None:
    await upload(storage)
    await storage.execute("update storage.objects set version = 'v2'")
    assert await noted(owner) == [(PATH, "v1"), (PATH, "v2")]
    assert await bells(owner) == ["upload", "upload"]


async def test_a_rename_is_noted(storage: Connection, owner: Connection) -> None:
    await upload(storage)
    await storage.execute("update storage.objects set name = 'P006/b.c3d', version = 'v2'")
    assert await noted(owner) == [(PATH, "v1"), ("P006/b.c3d", "v2")]
    assert await bells(owner) == ["upload", "upload"]


async def test_a_rename_that_keeps_the_version_lets_an_upload_that_ended_wait_again(
    storage: Connection, owner: Connection
) -> None:
    await upload(storage)
    await owner.execute(REFUSE)
    await storage.execute("update storage.objects set name = 'P006/b.c3d'")
    assert await noted(owner) == [("P006/b.c3d", "v1")]
    assert await owner.fetchval("select detail from public.storage_intake") is None
    assert await bells(owner) == ["upload", "upload"]


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_move_from_another_bucket_is_noted_and_one_into_it_is_not(
    storage: Connection, owner: Connection, version: str
) -> None:
    move = "update storage.objects set bucket_id = $1, version = $2"
    await upload(storage, bucket="avatars")
    assert await noted(owner) == []
    await storage.execute(move, "c3d-files", version)
    assert (await noted(owner), await bells(owner)) == ([(PATH, version)], ["upload"])
    await forget(owner)
    await storage.execute(move, "avatars", version)
    assert (await noted(owner), await bells(owner)) == ([], [])


@pytest.mark.parametrize(
    "change",
    [
        "last_accessed_at = now(), updated_at = now()",
        "metadata = '{}'",
        "version = version, name = name, bucket_id = bucket_id",
    ],
)
async def test_another_change_of_an_object_is_no_upload(
    storage: Connection, owner: Connection, change: str
) -> None:
    await upload(storage)
    await forget(owner)
    await storage.execute(f"update storage.objects set {change}")
    assert (await noted(owner), await bells(owner)) == ([], [])


@pytest.mark.parametrize(
    ("bucket", "path"),
    [
        ("avatars", PATH),
        ("c3d-files", "P005/notes.txt"),
        ("c3d-files", "P005/.emptyFolderPlaceholder"),
    ],
)
async def test_other_buckets_and_files_are_no_uploads(
    storage: Connection, owner: Connection, bucket: str, path: str
) -> None:
    await upload(storage, path, bucket=bucket)
    assert (await noted(owner), await bells(owner)) == ([], [])
    assert await objects(owner) == 1


@pytest.mark.parametrize("dead", ["archived_at = now()", "is_delete_marker = true"])
async def test_old_versions_and_marks_of_deletion_are_no_uploads(
    storage: Connection, owner: Connection, dead: str
) -> None:
    column, _, value = dead.partition(" = ")
    await storage.execute(
        f"insert into storage.objects (bucket_id, name, version, {column})"
        f" values ('c3d-files', '{PATH}', 'v1', {value})"
    )
    await storage.execute("update storage.objects set version = 'v2'")
    assert (await noted(owner), await bells(owner)) == ([], [])


@pytest.mark.parametrize(
    ("bucket", "every_file", "heard"),
    [
        ("avatars", False, ["avatars/a.c3d"]),
        ("c3d-files", True, ["c3d-files/a.c3d", "c3d-files/notes.txt"]),
        (None, False, []),
        (None, True, []),
    ],
)
async def test_the_settings_say_what_is_an_upload(
    storage: Connection,
    owner: Connection,
    *,
    bucket: str | None,
    every_file: bool,
    heard: list[str],
) -> None:
    await owner.execute(SETTINGS, bucket, every_file)
    for name in ("avatars", "c3d-files"):
        for file in ("a.c3d", "notes.txt", ".emptyFolderPlaceholder"):
            await upload(storage, f"{name}/{file}", bucket=name)
    assert [path for path, _ in await noted(owner)] == heard
    assert await bells(owner) == ["upload"] * len(heard)
    await owner.execute("delete from public.worker_settings")  # as good as an empty bucket
    await upload(storage, "later.c3d")
    assert len(await bells(owner)) == len(heard)


async def test_where_storage_knows_no_versions_of_objects(blank_database: CreateDatabase) -> None:
    url = await blank_database()
    await forget_versioning(url)
    await apply(url)
    await overwritten_object_is_noted_twice(url)


async def test_on_postgresql_15(blank_database_15: CreateDatabase) -> None:
    url = await blank_database_15()
    await apply(url)
    await overwritten_object_is_noted_twice(url)


async def overwritten_object_is_noted_twice(url: str) -> None:
    async with as_storage(url) as storage, connected(url) as owner:
        await upload(storage)
        await storage.execute("update storage.objects set version = 'v2'")
        assert await noted(owner) == [(PATH, "v1"), (PATH, "v2")]
        assert await bells(owner) == ["upload", "upload"]
