"""Each session gets its picture, after it; whatever goes wrong with that, no session notices."""

from __future__ import annotations

import asyncio
import errno
import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from PIL import Image
from pytest_mock import MockerFixture

from tests.faults.proxy import Proxy
from tests.faults.rules import say
from tests.integration.harness import Harness
from tests.integration.uploads import RECORDING, numbered, settings_of
from worker.backend.connection import Connection
from worker.backend.object_store import ObjectStore
from worker.backend.previews import PREVIEWS, Previews
from worker.extraction.envelope import Envelope
from worker.extraction.running_envelope import RunningEnvelope
from worker.local.migrated import connected
from worker.local.recordings import recording
from worker.observing import metrics
from worker.previews import pictures
from worker.previews.pictures import Pictures

UPLOADS = f"^/storage/v1/object/{PREVIEWS}/"


@pytest.fixture(autouse=True)
async def _empty_bucket(harness: Harness) -> None:
    await harness.connection.supabase.storage.empty_bucket(PREVIEWS)
    await harness.database.execute("delete from public.session_previews")


@asynccontextmanager
async def drawing(
    connection: Connection, harness: Harness, **others: Any
) -> AsyncIterator[Pictures]:
    """Run the pictures of a worker in this process."""
    settings = settings_of(harness.stack, **others)
    store = ObjectStore(connection, settings.c3d_bucket)
    running = Pictures(Previews(connection.supabase), store, settings, pause_seconds=0.1)
    task = asyncio.create_task(running.run())
    try:
        yield running
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def completed(harness: Harness, content: bytes = RECORDING) -> UUID:
    """A session that was completed before, without a picture."""
    session = await harness.session(content)
    await harness.database.execute(
        "update public.therapy_sessions set processing_status = 'completed',"
        " processing_due_at = null where id = $1",
        session,
    )
    return session


async def want(harness: Harness, session: UUID, delay: float = 0.0) -> None:
    await harness.database.execute("select public.want_preview($1, $2)", session, delay)


async def noted(harness: Harness, session: UUID) -> dict[str, Any]:
    row = await harness.database.fetchrow(
        "select * from public.session_previews where session_id = $1", session
    )
    return dict(row) if row else {}


async def until_noted(harness: Harness, session: UUID, column: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while not (row := await noted(harness, session)).get(column):
            await asyncio.sleep(0.05)
    return row


async def stored(harness: Harness) -> set[str]:
    listed = await harness.connection.supabase.storage.from_(PREVIEWS).list()
    return {each["name"] for each in listed}


def envelope() -> Envelope:
    running = RunningEnvelope(2, 3000)
    running.add(np.random.default_rng(3).standard_normal((2, 3000)))
    return running.finish(["CH1 Raw", "CH2 Raw"], ["mV", "mV"], 1000.0)


async def test_a_session_gets_its_picture_and_the_view_says_where(
    harness: Harness, tmp_path: Path
) -> None:
    async with harness.worker(tmp_path, POLL_SECONDS="1", PREVIEWS="on") as worker:
        await worker.until("realtime_ready")
        session = await harness.session(RECORDING)
        await worker.until("session_done")
        await worker.until("preview_made")
    row = await harness.database.fetchrow(
        "select state, preview from public.session_overview where session_id = $1", session
    )
    assert dict(row or {}) == {"state": "completed", "preview": f"{PREVIEWS}/{session}.png"}
    bucket = harness.connection.supabase.storage.from_(PREVIEWS)
    with Image.open(io.BytesIO(await bucket.download(f"{session}.png"))) as picture:
        assert (picture.format, picture.width) == ("PNG", 1600)
    assert (await bucket.info(f"{session}.png"))["content_type"] == "image/png"
    assert (await noted(harness, session))["attempts"] == 0  # so nothing was downloaded again


async def test_the_bucket_is_private(harness: Harness) -> None:
    assert not (await harness.connection.supabase.storage.get_bucket(PREVIEWS)).public


async def test_a_picture_announces_no_recording(harness: Harness) -> None:
    await harness.announces(harness.bucket)
    session = await completed(harness)
    async with drawing(harness.connection, harness) as running:
        await want(harness, session, 600)
        running.offer(session, envelope())
        await until_noted(harness, session, "made_at")
    count = "select count(*) from public.storage_intake where bucket_id = $1"
    assert await harness.database.fetchval(count, PREVIEWS) == 0


async def test_switched_off_none_is_noted_and_none_made(harness: Harness, tmp_path: Path) -> None:
    async with harness.worker(tmp_path, POLL_SECONDS="1", PREVIEWS="off") as worker:
        await worker.until("realtime_ready")
        session = await harness.session(RECORDING)
        await worker.until("session_done")
    assert await noted(harness, session) == {}
    assert await stored(harness) == set()


async def test_old_sessions_are_drawn_only_when_somebody_wants_it(harness: Harness) -> None:
    wanted, other = await completed(harness), await completed(harness, numbered(1))
    async with drawing(harness.connection, harness):
        await want(harness, wanted)
        row = await until_noted(harness, wanted, "made_at")
    assert row["attempts"] == 1
    assert await noted(harness, other) == {}
    assert await stored(harness) == {f"{wanted}.png"}


async def test_a_recording_without_signals_has_a_picture_that_says_so(harness: Harness) -> None:
    session = await completed(harness, recording(None, frames=10, points=1))
    async with drawing(harness.connection, harness):
        await want(harness, session)
        await until_noted(harness, session, "made_at")
    assert await stored(harness) == {f"{session}.png"}


async def test_what_refuses_a_picture_is_noted_and_it_is_attempted_again(harness: Harness) -> None:
    session = await completed(harness)
    async with Proxy(harness.stack).serve() as proxy, connected(proxy.stack) as connection:
        too_large = say(400, '{"statusCode": "413", "code": "EntityTooLarge", "message": "no"}')
        with proxy.trouble(UPLOADS, too_large):
            async with drawing(connection, harness) as running:
                await want(harness, session, 600)
                running.offer(session, envelope())
                row = await until_noted(harness, session, "detail")
        assert row["detail"] == "upload_refused"
        assert row["made_at"] is None
        assert row["due_at"] is not None
        await want(harness, session)
        async with drawing(connection, harness):
            await until_noted(harness, session, "made_at")
    assert await stored(harness) == {f"{session}.png"}


async def test_during_an_outage_a_picture_waits_and_needs_no_download(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "INITIAL_PAUSE", 0.05)
    session = await completed(harness)
    async with (
        Proxy(harness.stack).serve() as proxy,
        connected(proxy.stack) as connection,
        drawing(connection, harness) as running,
    ):
        with proxy.trouble(UPLOADS, say(503)) as refused:
            await want(harness, session, 600)
            running.offer(session, envelope())
            async with asyncio.timeout(20):
                while refused.hits < 2:
                    await asyncio.sleep(0.05)
        row = await until_noted(harness, session, "made_at")
    assert row["attempts"] == 0


async def test_without_a_way_it_is_given_up_after_five_attempts(harness: Harness) -> None:
    session = await completed(harness)
    await harness.connection.supabase.storage.from_(harness.bucket).remove(
        [await harness.database.fetchval("select file_path from public.therapy_sessions")]
    )
    await want(harness, session)
    async with drawing(harness.connection, harness):
        async with asyncio.timeout(30):
            while (row := await noted(harness, session))["attempts"] < 5 or not row["detail"]:
                await harness.database.execute(
                    "update public.session_previews set due_at = now() where due_at is not null"
                )
                await asyncio.sleep(0.05)
    assert row["detail"] == "object_missing"
    assert (await noted(harness, session))["due_at"] is None


async def test_a_picture_goes_with_its_session(harness: Harness) -> None:
    session, other = await completed(harness), await completed(harness, numbered(1))
    async with drawing(harness.connection, harness) as running:
        for each in (session, other):
            await want(harness, each, 600)
            running.offer(each, envelope())
            await until_noted(harness, each, "made_at")
        await harness.database.execute("delete from public.therapy_sessions where id = $1", session)
        async with asyncio.timeout(20):
            while f"{session}.png" in await stored(harness):
                await asyncio.sleep(0.05)
    assert await stored(harness) == {f"{other}.png"}
    assert await harness.database.fetchval("select count(*) from public.session_previews") == 1


async def test_it_goes_with_previews_switched_off_too(harness: Harness) -> None:
    session = await completed(harness)
    async with drawing(harness.connection, harness) as running:
        await want(harness, session, 600)
        running.offer(session, envelope())
        await until_noted(harness, session, "made_at")
    await harness.database.execute("delete from public.therapy_sessions where id = $1", session)
    async with drawing(harness.connection, harness, previews="off"), asyncio.timeout(20):
        while await stored(harness):
            await asyncio.sleep(0.05)


async def test_a_session_that_is_gone_meanwhile_leaves_no_picture(harness: Harness) -> None:
    async with drawing(harness.connection, harness) as running:
        running.offer(uuid4(), envelope())
        async with asyncio.timeout(20):
            while running._waiting:
                await asyncio.sleep(0.05)
    assert await stored(harness) == set()


async def test_too_many_that_wait_are_made_later(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_WAITING_BYTES", 3 * envelope().size)
    store = ObjectStore(harness.connection, harness.bucket)
    waiting = Pictures(Previews(harness.connection.supabase), store, settings_of(harness.stack))
    for _ in range(10):
        waiting.offer(uuid4(), envelope())
    assert len(waiting._waiting) == 3
    shown = f"c3d_worker_previews_waiting_bytes {float(3 * envelope().size)}"
    assert shown in metrics.exposition(None, reachable=True).decode().splitlines()


async def test_a_full_disk_pauses_pictures_and_spends_no_more_than_an_attempt(
    harness: Harness, mocker: MockerFixture
) -> None:
    session = await completed(harness)
    await want(harness, session)
    no_space = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    refused = mocker.patch("tempfile.TemporaryFile", side_effect=no_space)
    async with drawing(harness.connection, harness), asyncio.timeout(20):
        while not refused.called:
            await asyncio.sleep(0.05)
    mocker.stopall()
    row = await noted(harness, session)
    assert (row["attempts"], row["made_at"]) == (1, None)
    assert row["due_at"] is not None
