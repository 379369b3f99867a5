"""An upload leaves Storage once: phase 2 reads the bytes that phase 1 has downloaded."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.faults.proxy import Proxy
from tests.faults.rules import Exchange, Rule, refuse
from tests.integration.harness import Harness
from tests.integration.uploads import NEVER, RECORDING, numbered, overwrite, sessions, settings_of
from worker.backend import held_objects
from worker.backend.held_objects import HeldObjects
from worker.backend.metadata_service import MetadataService
from worker.backend.queued_uploads import Outcome
from worker.intake.factory import make_intake
from worker.local.worker_process import WorkerProcess, worker_process
from worker.settings import DEFAULT_BUCKET

DOWNLOADS = f"^/storage/v1/object/{DEFAULT_BUCKET}/"  # not of pictures
CLAIMS = "^/rest/v1/rpc/claim_sessions$"
PATH = "P005/a.c3d"


async def deliver(exchange: Exchange) -> Any:
    """Pass the request on; its rule has counted it."""
    return await exchange.deliver()


@asynccontextmanager
async def counted(
    harness: Harness, folder: Path, **settings: str
) -> AsyncIterator[tuple[Proxy, WorkerProcess, Rule]]:
    """Run a worker that uploads wake, and count its downloads."""
    await harness.announces(harness.bucket)
    async with Proxy(harness.stack).serve() as proxy:
        with proxy.trouble(DOWNLOADS, deliver) as downloads:
            settings = {"C3D_BUCKET": harness.bucket, "POLL_SECONDS": NEVER, **settings}
            async with worker_process(proxy.stack, folder, **settings) as worker:
                await worker.until("realtime_ready")
                yield proxy, worker, downloads


async def all_sessions(harness: Harness, number: int) -> Sequence[dict[str, Any]]:
    """Wait for so many sessions, all of them finished."""
    async with asyncio.timeout(20):
        while len(found := await sessions(harness)) < number or any(
            each["processing_status"] in {"pending", "processing"} for each in found
        ):
            await asyncio.sleep(0.05)
    return found


async def test_an_upload_is_downloaded_once(harness: Harness, tmp_path: Path) -> None:
    async with counted(harness, tmp_path) as (_, _, downloads):
        for number in range(5):
            await harness.upload(numbered(number))
        found = await all_sessions(harness, 5)
    assert {each["processing_status"] for each in found} == {"completed"}
    assert {each["read_mode"] for each in found} == {None}
    assert downloads.hits == 5


async def test_without_room_it_is_downloaded_again(harness: Harness, tmp_path: Path) -> None:
    async with counted(harness, tmp_path, HELD_MB="0") as (_, _, downloads):
        await harness.upload(RECORDING)
        (found,) = await all_sessions(harness, 1)
    assert found["processing_status"] == "completed"
    assert downloads.hits == 2


async def test_what_a_killed_worker_held_is_downloaded_by_another(
    harness: Harness, tmp_path: Path
) -> None:
    async with counted(harness, tmp_path) as (proxy, worker, _):
        with proxy.trouble(CLAIMS, refuse):  # it takes in, and reads nothing
            await harness.upload(RECORDING)
            taken = await worker.until("object_taken")
            session = UUID(taken["session"])
            worker.process.kill()
            await worker.process.wait()
    assert (await harness.row(session))["processing_status"] == "pending"
    async with harness.worker(tmp_path, POLL_SECONDS="1"):
        row = await harness.until(session, "completed", "failed")
    assert (row["processing_status"], row["processing_attempts"]) == ("completed", 1)


async def test_an_object_overwritten_while_it_is_held_has_two_sessions(
    harness: Harness, tmp_path: Path
) -> None:
    async with counted(harness, tmp_path) as (proxy, worker, _):
        with proxy.trouble(CLAIMS, refuse):
            await harness.upload(numbered(1), PATH)
            await worker.until("object_taken")
            await overwrite(harness, PATH, numbered(2))
            await worker.until("object_taken")
        found = await all_sessions(harness, 2)
    assert {each["processing_status"] for each in found} == {"completed"}
    assert {each["file_hash"] for each in found} == {
        hashlib.sha256(numbered(number)).hexdigest() for number in (1, 2)
    }


async def test_a_session_deleted_while_its_bytes_are_held_stays_deleted(
    harness: Harness, tmp_path: Path
) -> None:
    async with counted(harness, tmp_path) as (proxy, worker, downloads):
        with proxy.trouble(CLAIMS, refuse):
            await harness.upload(numbered(1))
            taken = await worker.until("object_taken")
            await harness.database.execute(
                "delete from public.therapy_sessions where id = $1", UUID(taken["session"])
            )
        await harness.upload(numbered(2))
        (found,) = await all_sessions(harness, 1)
    assert found["processing_status"] == "completed"
    assert downloads.hits == 2


async def test_a_session_requeued_after_it_was_read_is_downloaded(
    harness: Harness, tmp_path: Path
) -> None:
    async with counted(harness, tmp_path, POLL_SECONDS="1") as (_, _, downloads):
        await harness.upload(RECORDING)
        (found,) = await all_sessions(harness, 1)
        await harness.database.execute(
            "select public.requeue_session($1, 'a try', true)", found["id"]
        )
        (again,) = await all_sessions(harness, 1)
    assert again["processing_status"] == "completed"
    assert downloads.hits == 2


async def test_a_full_disk_costs_an_upload_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        held_objects, "temporary_file", partial(open, "/dev/full", "wb", buffering=0)
    )
    await harness.announces(harness.bucket)
    await harness.upload(RECORDING, PATH)
    held = HeldObjects(max_bytes=10**9, max_object_bytes=10**9, seconds=60)
    intake = make_intake(harness.connection, settings_of(harness.stack), held=held)
    (claimed,) = await intake.queue.claim(uuid4(), limit=1)
    assert (await intake.take(claimed)).outcome is Outcome.SESSION
    assert held.sessions == []


# --- the claim --------------------------------------------------------------------------------


async def claimed(harness: Harness, limit: int, held: Sequence[UUID] = ()) -> list[UUID]:
    """Claim as a worker does that holds the bytes of some sessions."""
    metadata = MetadataService(harness.connection.supabase)
    found = await metadata.claim(uuid4(), limit=limit, lease_seconds=60, max_attempts=3, held=held)
    return [each.id for each in found]


async def test_sessions_whose_bytes_the_caller_holds_come_first(harness: Harness) -> None:
    made = [await harness.session(numbered(number), uploaded=False) for number in range(6)]
    assert set(await claimed(harness, 2, made[4:])) == set(made[4:])
    assert set(await claimed(harness, 3, made[3:])) == {made[3], *made[:2]}


async def test_a_session_is_reserved_for_who_holds_it_only_for_a_while(harness: Harness) -> None:
    session = await harness.session(RECORDING, uploaded=False)
    await harness.database.execute(
        "update public.therapy_sessions set processing_due_at = now() + interval '10 seconds'"
    )
    assert await claimed(harness, 1) == []
    assert await claimed(harness, 1, [session]) == [session]


async def test_what_was_put_off_is_not_claimed_early_by_who_holds_it(harness: Harness) -> None:
    session = await harness.session(RECORDING, uploaded=False)
    await harness.database.execute(
        """update public.therapy_sessions set processing_error = 'unavailable: Wait.',
             processing_due_at = now() + interval '10 seconds'"""
    )
    assert await claimed(harness, 1, [session]) == []
