"""A worker that is told to stop ends in the time that its unit allows, and alone."""

from __future__ import annotations

import asyncio
import os
import re
import select
from pathlib import Path

import psutil
import pytest

from tests.integration.harness import Harness
from tests.integration.interrupter import Interrupter
from tests.integration.uploads import RECORDING
from worker.local.worker_process import WorkerProcess, worker_process
from worker.settings import Settings

UNIT = Path(__file__).parents[3] / "deploy" / "c3d-worker@.service"


def _seconds_beyond_the_drain() -> float:
    """What the unit allows a stop to take besides SHUTDOWN_TIMEOUT_SECONDS."""
    (allowed,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text("utf-8"), re.MULTILINE)
    drain: float = Settings.model_fields["shutdown_timeout_seconds"].default
    return float(allowed) - drain


def _tracker(worker: WorkerProcess) -> int:
    """The process that cleans up behind Python's multiprocessing."""
    (found,) = (
        child.pid
        for child in psutil.Process(worker.process.pid).children()
        if "resource_tracker" in " ".join(child.cmdline())
    )
    return found


@pytest.mark.parametrize("drain", [0.0, 2.0])
async def test_it_ends_in_time_while_supabase_hangs(
    harness: Harness, tmp_path: Path, drain: float
) -> None:
    await harness.session(RECORDING)
    async with (
        Interrupter(harness.stack).serve() as line,
        worker_process(
            line.stack, tmp_path, SHUTDOWN_TIMEOUT_SECONDS=str(drain), POLL_SECONDS="1"
        ) as worker,
    ):
        await worker.until("session_claimed")
        line.freeze()
        async with asyncio.timeout(drain + _seconds_beyond_the_drain()):
            assert await worker.stop() == 0


async def test_an_ordinary_stop_leaves_no_process_to_be_killed(
    harness: Harness, tmp_path: Path
) -> None:
    async with worker_process(harness.stack, tmp_path) as worker:
        await worker.until("realtime_ready")
        tracker, main = os.pidfd_open(_tracker(worker)), os.pidfd_open(worker.process.pid)
        ended = select.poll()
        ended.register(tracker, select.POLLIN)
        ended.register(main, select.POLLIN)
        worker.process.terminate()
        first = await asyncio.to_thread(ended.poll, 20_000)
        assert [descriptor for descriptor, _ in first] == [tracker]
        os.close(tracker)
        os.close(main)
