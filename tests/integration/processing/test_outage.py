"""Trouble of Supabase is nobody's fault: no session fails of it, and none waits for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import RunningStack
from tests.integration.checking import PUBLISH, broken
from tests.integration.harness import Harness, harness_of
from tests.integration.interrupter import Interrupter
from tests.integration.uploads import NEVER, RECORDING, numbered
from worker.local.stack import StackInfo
from worker.local.worker_process import worker_process


@pytest.fixture
async def line(migrated_stack: StackInfo) -> AsyncIterator[Interrupter]:
    async with Interrupter(migrated_stack).serve() as serving:
        yield serving


async def test_an_outage_amid_a_backlog_spends_no_attempt(
    harness: Harness, line: Interrupter, tmp_path: Path
) -> None:
    files = [numbered(number) for number in range(60)]
    sessions = [await harness.session(file) for file in files]
    async with worker_process(line.stack, tmp_path) as worker:
        await worker.until("session_done")
        line.cut()
        await worker.until("claiming_paused")
        await asyncio.sleep(2.0)
        line.mend()
        await harness.until_done(sessions)
    assert await harness.counts() == {"completed": 60}
    attempts = await harness.database.fetch(
        "select processing_attempts, count(*) from public.therapy_sessions group by 1"
    )
    assert [tuple(row) for row in attempts] == [(1, 60)]


async def test_what_came_while_realtime_was_away_is_found_when_it_returns(
    harness: Harness, line: Interrupter, tmp_path: Path
) -> None:
    async with worker_process(line.stack, tmp_path, POLL_SECONDS=NEVER) as worker:
        assert (await worker.until("realtime_ready"))["again"] is False
        line.cut()
        await worker.until("realtime_lost")
        session = await harness.session(RECORDING)
        line.mend()
        row = await harness.until(session, "completed", "failed")
        assert (await worker.until("realtime_ready"))["again"] is True
    assert row["processing_status"] == "completed"
    assert row["processing_attempts"] == 1


async def test_a_restart_of_postgres_loses_nothing(
    harness: Harness, tmp_path: Path, running_stack: RunningStack
) -> None:
    files = [numbered(number) for number in range(40)]
    sessions = [await harness.session(file) for file in files]
    async with worker_process(
        harness.stack, tmp_path, POLL_SECONDS="1", LEASE_SECONDS="5"
    ) as worker:
        await worker.until("session_done")
        await running_stack.restart_postgres()
        async with harness_of(harness.stack) as again:
            await again.until_done(sessions)
            assert await again.counts() == {"completed": 40}


async def test_without_realtime_a_session_is_processed_at_the_next_poll(
    harness: Harness, tmp_path: Path
) -> None:
    async with (
        broken(harness.stack, "drop publication supabase_realtime", PUBLISH),
        worker_process(harness.stack, tmp_path, POLL_SECONDS="1") as worker,
    ):
        await worker.until("realtime_lost")
        session = await harness.session(RECORDING)
        row = await harness.until(session, "completed", "failed", seconds=5.0)
    assert row["processing_status"] == "completed"
