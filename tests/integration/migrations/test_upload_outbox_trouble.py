"""Whatever goes wrong while an upload is announced, the upload succeeds, and soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conftest import CreateDatabase
from tests.integration.databases import Connection, connected
from tests.integration.migrating import apply
from tests.integration.outbox import (
    PATH,
    as_storage,
    as_superuser,
    bells,
    noted,
    objects,
    upload,
)

SOON = 2.0  # seconds; the trigger waits one for a lock, and no second time
NOTES = "public.note_uploads(objects uuid[], every_file boolean)"
BODY = "returns bigint language plpgsql as $$ begin {0} end $$"
NOTING_FAILS = {
    "a column is gone": "alter table public.storage_intake drop column size_bytes cascade",
    "the queue is gone": "drop table public.storage_intake cascade",
    "the function is gone": f"drop function {NOTES}",
    "it raises": f"create or replace function {NOTES} {BODY.format('raise exception $x$no$x$;')}",
    "it is canceled": "create or replace function "
    f"{NOTES} {BODY.format('raise exception sqlstate $x$57014$x$;')}",
    "it asserts": f"create or replace function {NOTES} {BODY.format('assert false;')}",
    "it ends nowhere": f"create or replace function {NOTES} {BODY.format('return 1 / 0;')}",
    "a rule refuses": "alter table public.storage_intake add check (size_bytes > 5) not valid",
    "a setting is gone": "alter table public.worker_settings drop column every_file",
    "the settings are gone": "drop table public.worker_settings cascade",
    "the bucket's name is gone": "alter table public.worker_settings rename bucket to other",
}
RINGING_FAILS = {
    "a kind is unknown": "alter table public.worker_bells add check (kind <> 'upload')",
    "a column is gone": "alter table public.worker_bells drop column kind",
    "there are no bells": "drop table public.worker_bells",
    "a trigger asserts": """
      create function public.no() returns trigger language plpgsql as $$
        begin assert false; end $$;
      create trigger no before insert on public.worker_bells
        for each row execute function public.no()""",
}


@pytest_asyncio.fixture
async def storage(migrated_database: str) -> AsyncIterator[Connection]:
    """Storage's connection."""
    async with as_storage(migrated_database) as connection:
        yield connection


@pytest_asyncio.fixture
async def superuser(migrated_database: str) -> AsyncIterator[Connection]:
    """Who breaks and locks things."""
    async with as_superuser(migrated_database) as connection:
        yield connection


@pytest.mark.parametrize(
    ("locked", "notes", "rung"),
    [
        (["storage_intake"], [], ["missed"]),
        (["worker_settings"], [], ["missed"]),
        (["worker_bells"], [(PATH, "v1")], []),
        (["storage_intake", "worker_bells"], [], []),
        (["worker_settings", "worker_bells"], [], []),
        (["storage_intake", "worker_settings", "worker_bells"], [], []),
    ],
)
async def test_an_upload_does_not_wait_for_the_locks_of_others(
    storage: Connection,
    superuser: Connection,
    owner: Connection,
    *,
    locked: list[str],
    notes: list[tuple[str, str]],
    rung: list[str],
) -> None:
    async with superuser.transaction():
        for table in locked:
            await superuser.execute(f"lock table public.{table} in access exclusive mode")
        async with asyncio.timeout(SOON):
            await upload(storage)
        assert await objects(owner) == 1
    assert (await noted(owner), await bells(owner)) == (notes, rung)


@pytest.mark.parametrize("broken", NOTING_FAILS.values(), ids=NOTING_FAILS)
async def test_an_upload_that_cannot_be_noted_is_missed(
    storage: Connection, superuser: Connection, owner: Connection, broken: str
) -> None:
    await upload(storage, "P005/before.c3d")  # so that the function knows what was there
    await superuser.execute(broken)
    await upload(storage)
    assert await objects(owner) == 2
    assert await bells(owner) == ["upload", "missed"]


@pytest.mark.parametrize("broken", RINGING_FAILS.values(), ids=RINGING_FAILS)
async def test_an_upload_that_rings_no_bell_is_noted(
    storage: Connection, superuser: Connection, owner: Connection, broken: str
) -> None:
    await superuser.execute(broken)
    await upload(storage)
    assert await noted(owner) == [(PATH, "v1")]


@pytest.mark.parametrize("table", ["storage_intake", "worker_settings", "worker_bells"])
async def test_a_connection_that_never_knew_a_table_uploads_without_it(
    migrated_database: str, superuser: Connection, owner: Connection, table: str
) -> None:
    await superuser.execute(f"drop table public.{table} cascade")
    async with as_storage(migrated_database) as storage:
        await upload(storage)
    assert await objects(owner) == 1


async def test_each_upload_of_a_transaction_is_announced_for_itself(
    storage: Connection, superuser: Connection, owner: Connection
) -> None:
    await superuser.execute("alter table public.storage_intake add check (object_path <> 'a.c3d')")
    async with storage.transaction():
        await upload(storage, "a.c3d")
        await upload(storage, "b.c3d")
        assert await storage.fetchval("show lock_timeout") == "0"
    assert await noted(owner) == [("b.c3d", "v1")]
    assert await bells(owner) == ["missed", "upload"]


async def test_a_missed_upload_is_noted_by_the_next_look_at_the_bucket(
    storage: Connection, superuser: Connection, owner: Connection, worker: Connection
) -> None:
    async with superuser.transaction():
        await superuser.execute("lock table public.storage_intake in access exclusive mode")
        await upload(storage)
    last = await worker.fetchval(
        "select last_missed from public.look_at_queues('c3d-files', false)"
    )
    assert last == await owner.fetchval("select max(id) from public.worker_bells")
    note = "select public.announce_objects('c3d-files', missed_up_to => $1)"
    await worker.execute(note, last)
    assert (await noted(owner), await bells(owner)) == ([(PATH, "v1")], ["missed", "upload"])
    await owner.execute("update worker_bells set rung_at = rung_at - interval '2 minutes'")
    await worker.execute(note, last)
    assert (await noted(owner), await bells(owner)) == ([(PATH, "v1")], ["upload"])


async def test_on_postgresql_15_a_locked_queue_stops_no_upload(
    blank_database_15: CreateDatabase,
) -> None:
    url = await blank_database_15()
    await apply(url)
    async with (
        as_storage(url) as storage,
        as_superuser(url) as superuser,
        connected(url) as owner,
    ):
        async with superuser.transaction():
            await superuser.execute("lock table public.storage_intake in access exclusive mode")
            async with asyncio.timeout(SOON):
                await upload(storage)
        assert (await noted(owner), await bells(owner)) == ([], ["missed"])
