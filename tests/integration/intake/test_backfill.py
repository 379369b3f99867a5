"""`c3d-worker backfill`: every object gets its session once, whatever interrupts it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from uuid import uuid4

import pytest

from tests.faults.proxy import OBJECTS, Proxy
from tests.faults.rules import Exchange, say
from tests.integration.command_line import command, started
from tests.integration.databases import connected
from tests.integration.harness import Harness
from tests.integration.interrupter import Interrupter
from tests.integration.uploads import (
    intake_of,
    numbered,
    register,
    sessions,
    sweep_of,
    wait_over,
)
from worker.settings import DEFAULT_BUCKET

MANY = 1200  # more than PostgREST answers in one call
AT_ONCE = 8  # uploads
UNREADABLE = 10


async def fill(harness: Harness, number: int) -> None:
    """Upload so many recordings, no two alike."""
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(index: int) -> None:
        async with at_once:
            await harness.upload(numbered(index), f"P{index % 20:03}/{index}.c3d")

    await asyncio.gather(*(one(index) for index in range(number)))


async def until_taken(harness: Harness, number: int) -> None:
    """Wait until so many sessions are there."""
    query = "select count(*) from public.therapy_sessions"
    async with asyncio.timeout(60):
        while await harness.database.fetchval(query) < number:
            await asyncio.sleep(0.02)


@pytest.mark.timeout(400)
async def test_objects_interrupted_twice_and_resumed_make_each_session_once(
    harness: Harness, tmp_path: Path
) -> None:
    await fill(harness, MANY)
    killed = await started(harness.stack, tmp_path, "backfill", LEASE_SECONDS="5")
    await until_taken(harness, 300)
    killed.kill()
    await killed.communicate()
    stopped = await started(harness.stack, tmp_path, "backfill", LEASE_SECONDS="5")
    await until_taken(harness, 700)
    stopped.send_signal(signal.SIGINT)
    await stopped.communicate()
    assert len(await sessions(harness)) < MANY
    code, printed, _ = await command(harness.stack, tmp_path, "backfill", LEASE_SECONDS="5")
    assert code == 0
    assert "objects taken in" in printed
    found = await sessions(harness)
    assert len(found) == MANY
    assert len({session["file_hash"] for session in found}) == MANY
    assert len({session["file_path"] for session in found}) == MANY
    taken = await register(harness)
    assert {row[1] for row in taken} == {"session"}
    assert len({row[2] for row in taken}) == MANY
    assert [session["cache_hits"] for session in found] == [0] * MANY
    code, printed, _ = await command(harness.stack, tmp_path, "backfill")
    assert code == 0
    assert "taken in before" in printed


async def test_a_backfill_says_what_it_did(harness: Harness, tmp_path: Path) -> None:
    await fill(harness, 3)
    await harness.upload(numbered(0), "P001/copy.c3d")
    code, printed, complained = await command(harness.stack, tmp_path, "backfill")
    assert code == 0
    assert "4 objects taken in: 3 new sessions, 1 known already." in printed
    assert complained == ""


async def test_an_outage_ends_it_with_a_sentence_and_the_next_goes_on(
    harness: Harness, tmp_path: Path
) -> None:
    await fill(harness, 120)
    async with Interrupter(harness.stack).serve() as line:
        process = await started(line.stack, tmp_path, "backfill", LEASE_SECONDS="5")
        await until_taken(harness, 10)
        line.cut()
        _, complained = await process.communicate()
    assert process.returncode == 2
    assert b"supabase_unavailable: " in complained
    code, _, _ = await command(harness.stack, tmp_path, "backfill", LEASE_SECONDS="5")
    assert code == 0
    assert len(await sessions(harness)) == 120
    assert {row[1] for row in await register(harness)} == {"session"}


async def test_objects_that_storage_cannot_read_keep_it_from_no_other(
    harness: Harness, tmp_path: Path
) -> None:
    for number in range(UNREADABLE):
        await harness.upload(numbered(number), f"P001/a{number}.c3d")
    await sweep_of(harness).announce()
    await harness.upload(numbered(99), "P001/b.c3d")
    async with Proxy(harness.stack).serve() as proxy:
        with proxy.trouble(f"{OBJECTS}P001/a", say(500, '{"message": "x"}')):
            code, printed, _ = await command(proxy.stack, tmp_path, "backfill", CONCURRENCY="1")
        assert code == 1
        assert f"1 object taken in: 1 new session. {UNREADABLE} wait" in printed
        assert [session["file_path"] for session in await sessions(harness)] == ["P001/b.c3d"]
        await wait_over(harness)
        code, _, _ = await command(proxy.stack, tmp_path, "backfill")
    assert code == 0
    assert len(await sessions(harness)) == UNREADABLE + 1


async def test_an_upload_that_has_to_wait_is_told_and_not_waited_for(
    harness: Harness, tmp_path: Path
) -> None:
    await fill(harness, 2)
    await harness.database.execute(
        "insert into storage.objects (bucket_id, name, version) values ($1, 'P9/a.c3d', '1')",
        DEFAULT_BUCKET,
    )
    code, printed, _ = await command(harness.stack, tmp_path, "backfill")
    assert code == 1
    assert "2 objects taken in: 2 new sessions." in printed
    assert "1 waits, and is taken in by itself: upload_overview says for what." in printed


async def test_a_backfill_waits_for_what_others_have_claimed(
    harness: Harness, tmp_path: Path
) -> None:
    await fill(harness, 2)
    other = intake_of(harness)
    await sweep_of(harness).announce()
    (claimed,) = await other.queue.claim(uuid4(), limit=1)
    process = await started(harness.stack, tmp_path, "backfill")
    await until_taken(harness, 1)
    await asyncio.sleep(1)
    assert process.returncode is None
    await other.take(claimed)
    await process.communicate()
    assert process.returncode == 0
    assert len(await sessions(harness)) == 2


async def test_a_backfill_asks_little_while_somebody_has_locked_an_upload(
    harness: Harness, tmp_path: Path
) -> None:
    await harness.upload(numbered(1), "P001/a.c3d")
    await sweep_of(harness).announce()
    async with Proxy(harness.stack).serve() as proxy:
        with proxy.trouble("^/rest/v1/rpc/claim_objects$", Exchange.deliver) as asked:
            async with connected(harness.stack.database_url) as other, other.transaction():
                await other.execute("select from public.storage_intake for update")
                process = await started(proxy.stack, tmp_path, "backfill")
                async with asyncio.timeout(20):
                    await asked.applied.wait()
                await asyncio.sleep(3)
                assert process.returncode is None
                assert asked.hits <= 5
            await process.communicate()
    assert process.returncode == 0
    assert len(await sessions(harness)) == 1


async def test_known_duplicates_are_not_downloaded_by_every_sweep(harness: Harness) -> None:
    for path in ("P001/a.c3d", "P001/b.c3d", "P001/c.c3d"):
        await harness.upload(numbered(1), path)
    sweep = sweep_of(harness)
    assert await sweep.sweep() == 3
    assert await sweep.sweep() == 0
    (session,) = await sessions(harness)
    assert session["cache_hits"] == 2
