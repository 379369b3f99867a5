"""While trouble lasts, a person at the dashboard reads what a session waits for, and since when."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.faults.proxy import OBJECTS, Proxy
from tests.faults.rules import Trouble, say
from tests.integration.harness import Harness
from tests.integration.uploads import numbered
from worker.local.worker_process import worker_process

LATER = """
update public.therapy_sessions
set processing_queued_at = processing_queued_at - interval '6 minutes'
"""

Troubled = Callable[[Harness, Path], AbstractAsyncContextManager[None]]


def _storage(trouble: Trouble) -> Troubled:
    """Return what runs a worker to which Storage answers so for all objects."""

    @asynccontextmanager
    async def troubled(harness: Harness, folder: Path) -> AsyncIterator[None]:
        async with Proxy(harness.stack).serve() as proxy:
            with proxy.trouble(OBJECTS, trouble):
                async with worker_process(proxy.stack, folder, POLL_SECONDS="1"):
                    yield

    return troubled


@asynccontextmanager
async def _no_disk(harness: Harness, folder: Path) -> AsyncIterator[None]:
    """Run a worker whose temporary folder goes away."""
    temporary = folder / "temporary"
    temporary.mkdir()
    async with worker_process(
        harness.stack, folder, POLL_SECONDS="1", TMPDIR=str(temporary)
    ) as worker:
        await harness.session(numbered(99))
        await worker.until("session_done")  # it has found its folder
        shutil.rmtree(temporary)
        yield


async def _seen(harness: Harness, session: UUID, state: str) -> dict[str, Any]:
    """Wait until the overview gives this state and something to do, and return its line."""
    query = "select * from public.session_overview where session_id = $1"
    async with asyncio.timeout(20):
        while True:
            line = dict(await harness.database.fetchrow(query, session) or {})
            if line["state"] == state and line["what_to_do"]:
                return line
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("troubled", "code"),
    [
        (_storage(say(503)), "supabase_unavailable"),
        (_storage(say(500, '{"statusCode": "500", "message": "x"}')), "supabase_unavailable"),
        (_storage(say(403, '{"statusCode": "403", "message": "x"}')), "key_refused"),
        (_no_disk, "disk_full"),
    ],
    ids=["a gateway's 503", "Storage's 500", "a refused key", "no disk"],
)
async def test_a_session_says_what_it_waits_for_and_that_it_is_stuck_after_five_minutes(
    harness: Harness, tmp_path: Path, troubled: Troubled, code: str
) -> None:
    async with troubled(harness, tmp_path):
        sessions = [await harness.session(numbered(number)) for number in range(2)]
        for session in sessions:
            line = await _seen(harness, session, "waiting")
            assert line["what_to_do"].startswith(f"{code}: ")
            assert (line["urgency"], line["attempts"]) == (2, 0)
        await harness.database.execute(LATER)
        for session in sessions:
            line = await _seen(harness, session, "stuck: no worker reads it")
            assert f" {code}: " in line["what_to_do"]
            assert line["what_to_do"].startswith("Is a worker running?")
        async with asyncio.timeout(10):
            while not (age := await _oldest(harness)):
                await asyncio.sleep(0.02)
        assert age >= 6 * 60
    async with worker_process(harness.stack, tmp_path, POLL_SECONDS="1"):
        await harness.until_done(sessions)
    for session in sessions:
        row = await harness.row(session)
        assert (row["processing_status"], row["processing_error"]) == ("completed", None)
        assert row["processing_attempts"] == 1


async def _oldest(harness: Harness) -> float | None:
    age: float | None = await harness.database.fetchval(
        "select oldest_due_age_seconds from public.queue_report()"
    )
    return age
