"""A row that somebody else has locked, as by an open transaction in the SQL Editor, waits alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from tests.faults.proxy import OBJECTS, Proxy
from tests.faults.rules import delay
from tests.integration.command_line import command
from tests.integration.harness import Harness
from tests.integration.uploads import numbered
from worker.local.worker_process import worker_process

OTHERS = 20
LATE = 2.0  # seconds that the download of the session takes which is locked meanwhile
WRITES = """
create table public.writes (session_id uuid);
create function public.count_write() returns trigger language plpgsql as $$
begin insert into public.writes values (new.session_id); return new; end $$;
create trigger count_write after insert or update on public.c3d_technical_data
for each row execute function public.count_write();
grant insert on public.writes to service_role;
"""
NO_WRITES = "drop function public.count_write() cascade; drop table public.writes"


@pytest.fixture
async def _writes(harness: Harness) -> AsyncIterator[None]:
    """Write down each technical row that is written."""
    await harness.database.execute(WRITES)
    yield
    await harness.database.execute(NO_WRITES)


@asynccontextmanager
async def _locked_while_read(
    harness: Harness, folder: Path, content: bytes, **settings: str
) -> AsyncIterator[UUID]:
    """Run a worker, and lock a session that it reads for as long as the block lasts."""
    session = await harness.session(content, path="P005/locked.c3d")
    settings = {"POLL_SECONDS": "1", **settings}
    async with Proxy(harness.stack).serve() as proxy:
        with proxy.trouble(f"{OBJECTS}P005/locked", delay(LATE)):
            async with worker_process(proxy.stack, folder, **settings):
                await harness.until(session, "processing")
                async with harness.locking(session):
                    yield session
                await harness.until_done([session])


async def _others_are_done(harness: Harness) -> list[UUID]:
    await asyncio.sleep(LATE + 1.0)  # until the worker meets the lock
    others = [await harness.session(numbered(number)) for number in range(1, 1 + OTHERS)]
    await harness.until_done(others, seconds=10)
    return others


@pytest.mark.usefixtures("_writes")
@pytest.mark.parametrize(("lease", "held", "attempts"), [("30", 3.0, {1}), ("5", 10.0, {1, 2})])
async def test_the_others_are_completed_meanwhile_and_the_locked_one_afterwards(
    harness: Harness, tmp_path: Path, lease: str, held: float, attempts: set[int]
) -> None:
    """A lease outlasts the lock; one that is much shorter may go to another claim, once."""
    async with _locked_while_read(harness, tmp_path, numbered(0), LEASE_SECONDS=lease) as session:
        others = await _others_are_done(harness)
        await asyncio.sleep(held)
        assert (await harness.row(session))["processing_status"] == "processing"
    row = await harness.row(session)
    assert row["processing_status"] == "completed"
    assert row["processing_attempts"] in attempts
    written = await harness.database.fetch("select session_id from public.writes")
    assert sorted(each["session_id"] for each in written) == sorted([session, *others])


async def test_a_bad_file_whose_row_is_locked_fails_afterwards_for_its_own_reason(
    harness: Harness, tmp_path: Path
) -> None:
    bad = b"This is no recording."
    async with _locked_while_read(harness, tmp_path, bad, MAX_ATTEMPTS="1") as session:
        await _others_are_done(harness)
    row = await harness.row(session)
    assert (row["processing_status"], row["processing_attempts"]) == ("failed", 1)
    assert row["processing_error"].startswith("c3d_not_c3d: ")


async def test_a_worker_that_stops_gives_back_all_but_the_locked_one(
    harness: Harness, tmp_path: Path
) -> None:
    settings = {"SHUTDOWN_TIMEOUT_SECONDS": "1", "LEASE_SECONDS": "5"}
    locked, other = [await harness.session(numbered(number)) for number in range(2)]
    async with Proxy(harness.stack).serve() as proxy:
        with proxy.trouble(OBJECTS, delay(60.0)):
            async with worker_process(proxy.stack, tmp_path, **settings) as worker:
                for session in (locked, other):
                    await harness.until(session, "processing")
                async with harness.locking(locked):
                    assert await worker.stop() == 0
                    assert (await harness.row(locked))["processing_status"] == "processing"
                    row = await harness.row(other)
                    assert (row["processing_status"], row["processing_attempts"]) == ("pending", 0)
    async with worker_process(harness.stack, tmp_path, POLL_SECONDS="1"):
        await harness.until_done([locked, other])
    assert await harness.counts() == {"completed": 2}


async def test_who_requeues_a_locked_session_is_told_so_at_once(
    harness: Harness, tmp_path: Path
) -> None:
    session = await harness.session(b"This is no recording.")
    async with worker_process(harness.stack, tmp_path):
        await harness.until(session, "failed")
    async with harness.locking(session), asyncio.timeout(40):
        code, printed, _ = await command(harness.stack, tmp_path, "requeue", str(session))
        assert (code, printed) == (
            1,
            f"{session}: locked, another program has locked its row: try again\n",
        )
        code, printed, _ = await command(harness.stack, tmp_path, "requeue", "--failed")
        assert (code, printed) == (0, "0 failed sessions requeued.\n")
    _, printed, _ = await command(harness.stack, tmp_path, "requeue", str(session))
    assert printed.startswith(f"{session}: pending, ")
