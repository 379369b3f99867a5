"""The bucket is compared with the queue of uploads: what nobody announced is put into it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.faults.rules import Exchange, Trouble, say
from tests.integration.databases import connected
from tests.integration.harness import Harness
from tests.integration.outbox import as_superuser, bells
from tests.integration.uploads import NEVER, RECORDING, behind, sweep_of
from tests.queue_looks import look
from worker.errors import UnavailableError
from worker.intake.reconciliation import Reconciliation
from worker.local.worker_process import WorkerProcess

ANNOUNCE = "^/rest/v1/rpc/announce_objects$"
PAGE = 1000  # objects
FILL = """
insert into storage.objects (bucket_id, name, version, metadata)
select 'c3d-files', format('P005/%s.c3d', to_char(each, 'FM0000')), 'v1', '{"size": 5}'
from generate_series(1, $1) as each
"""
NAME = "P005/{:04}.c3d"
CHANGE_BUCKET = "update storage.objects set bucket_id = $2 where bucket_id = $1"
AGE_BELLS = "update public.worker_bells set rung_at = rung_at - interval '2 minutes'"
RING_MISSED = "insert into public.worker_bells (kind) values ('missed') returning id"
SETTINGS = "select bucket, every_file from public.worker_settings"
NOTED = "select count(*) from public.storage_intake"


def nobody() -> None:
    """Wake no intake."""


def one_by_one(heard: list[dict[str, Any]], troubles: Sequence[Trouble | None]) -> Trouble:
    """Meet the nth request with the nth trouble, and keep what was asked."""

    async def trouble(exchange: Exchange) -> web.StreamResponse:
        heard.append(await exchange.request.json())
        met = troubles[len(heard) - 1] if len(heard) <= len(troubles) else None
        return await (met(exchange) if met else exchange.deliver())

    return trouble


@asynccontextmanager
async def storage_intake_locked(harness: Harness) -> AsyncIterator[None]:
    """Have somebody lock the queue of uploads."""
    async with as_superuser(harness.stack.database_url) as other, other.transaction():
        await other.execute("lock table public.storage_intake in access exclusive mode")
        yield


async def test_a_missed_upload_is_found_at_once_and_its_bell_removed(
    harness: Harness, tmp_path: Path
) -> None:
    await harness.announces(harness.bucket)
    async with harness.worker(tmp_path, POLL_SECONDS=NEVER, BUCKET_SWEEP_SECONDS=NEVER) as worker:
        await worker.until("realtime_ready")
        async with storage_intake_locked(harness):
            await harness.upload(RECORDING)
        assert "missed" in await bells(harness.database)
        await worker.until("missed_upload_heard")
        await worker.until("bucket_reconciled")
        await worker.until("object_taken")
        assert "missed" in await bells(harness.database)  # for a minute
        await harness.database.execute(AGE_BELLS)
    async with harness.worker(tmp_path, BUCKET_SWEEP_SECONDS=NEVER) as worker:
        await worker.until("bucket_reconciled")
    assert "missed" not in await bells(harness.database)


async def test_a_pass_that_fails_keeps_the_bell_and_goes_on_behind_its_last_page(
    harness: Harness,
) -> None:
    await harness.database.execute(FILL, PAGE + 500)
    await harness.announces(harness.bucket)
    last = await harness.database.fetchval(RING_MISSED)
    await harness.database.execute(AGE_BELLS)
    asked: list[dict[str, Any]] = []
    async with behind(harness) as (proxy, sweep):
        reconciliation = Reconciliation(sweep.intake.queue, nobody, every_seconds=0)
        reconciliation.note(look(announcing=False, missed=last))
        with proxy.trouble(ANNOUNCE, one_by_one(asked, [None, say(503)])):
            with pytest.raises(UnavailableError):
                await reconciliation.reconcile()
            assert await harness.database.fetchval(NOTED) == PAGE
            assert "missed" in await bells(harness.database)
            assert await reconciliation.reconcile() == 500
            assert await reconciliation.reconcile() == 0  # a new pass, from the start
    assert [each["after_name"] for each in asked] == [
        "", *[NAME.format(PAGE)] * 2, "", NAME.format(PAGE)
    ]  # fmt: skip
    assert await harness.database.fetchval(NOTED) == PAGE + 500
    assert "missed" not in await bells(harness.database)


async def test_a_bell_that_was_rung_after_a_pass_had_begun_stays(harness: Harness) -> None:
    before, _ = [await harness.database.fetchval(RING_MISSED) for _ in range(2)]
    await harness.announces(harness.bucket)
    await harness.database.execute(AGE_BELLS)
    reconciliation = Reconciliation(sweep_of(harness).intake.queue, nobody, every_seconds=0)
    reconciliation.note(look(announcing=True, missed=before))
    await reconciliation.reconcile()
    assert await bells(harness.database) == ["missed"]


async def test_each_page_with_news_rings_one_bell(harness: Harness) -> None:
    await harness.database.execute(FILL, 2 * PAGE + 1)
    assert await sweep_of(harness).announce() == 2 * PAGE + 1
    assert await bells(harness.database) == ["upload"] * 3
    assert await sweep_of(harness).announce() == 0
    assert await bells(harness.database) == ["upload"] * 3


async def test_a_page_beside_an_upload_of_the_same_object_notes_it_once(harness: Harness) -> None:
    await harness.announces(harness.bucket)
    async with connected(harness.stack.database_url) as storage, storage.transaction():
        await storage.execute(FILL, 1)
        assert await sweep_of(harness).announce() == 0  # not committed yet
    assert await sweep_of(harness).announce() == 0
    assert await harness.database.fetchval(NOTED) == 1


async def test_a_moved_object_whose_version_stayed_is_noted_wherever_it_came_from(
    harness: Harness,
) -> None:
    """Storage gives it a new version; a person in the SQL Editor may not."""
    await harness.database.execute("insert into storage.buckets (id, name) values ('old', 'old')")
    await harness.database.execute(FILL, 1)
    await harness.database.execute(CHANGE_BUCKET, "c3d-files", "old")
    await sweep_of(harness, c3d_bucket="old").announce()
    try:
        await harness.database.execute(CHANGE_BUCKET, "old", "c3d-files")
        assert await sweep_of(harness).announce() == 1
        assert (
            await harness.database.fetchval("select bucket_id from public.storage_intake")
            == "c3d-files"
        )
    finally:
        await harness.database.execute("delete from storage.buckets where id = 'old'")


async def started(worker: WorkerProcess) -> list[str]:
    """The events of a worker's start."""
    return [each["event"] async for each in worker.follow(until="worker_started")]


async def test_a_worker_has_the_uploads_to_its_bucket_announced(
    harness: Harness, tmp_path: Path
) -> None:
    await harness.announces("avatars")
    async with harness.worker(tmp_path, OTHER_FILES="skip") as worker:
        assert "settings_shared" in await started(worker)
    (settings,) = await harness.database.fetch(SETTINGS)
    assert tuple(settings) == (harness.bucket, True)
    async with harness.worker(tmp_path) as worker:
        assert "settings_shared" in await started(worker)
    async with harness.worker(tmp_path) as worker:
        assert "settings_shared" not in await started(worker)
    (settings,) = await harness.database.fetch(SETTINGS)
    assert tuple(settings) == (harness.bucket, False)


async def test_a_worker_leaves_settings_without_a_bucket_alone(
    harness: Harness, tmp_path: Path
) -> None:
    async with harness.worker(tmp_path) as worker:
        assert "settings_shared" not in await started(worker)
    assert await harness.database.fetchval("select bucket from public.worker_settings") is None


async def test_a_worker_that_cannot_share_its_settings_starts_all_the_same(
    harness: Harness, tmp_path: Path
) -> None:
    await harness.announces("avatars")
    async with as_superuser(harness.stack.database_url) as other, other.transaction():
        await other.execute("update public.worker_settings set every_file = every_file")
        async with asyncio.timeout(20), harness.worker(tmp_path) as worker:
            assert "settings_not_shared" in await started(worker)
