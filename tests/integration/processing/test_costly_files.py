"""A recording that hangs or kills its reader fails with a reason, and the worker goes on."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests.integration.harness import Harness
from tests.integration.uploads import RECORDING, settings_of
from worker.backend.metadata_service import MetadataService
from worker.backend.object_store import ObjectStore
from worker.backend.sessions import ClaimedSession
from worker.extraction.isolation import Extracted, Isolation, extract
from worker.observing.watchdog import Watchdog
from worker.processing.processor import Processor
from worker.queueing.claim_loop import ClaimLoop
from worker.service.run import make_session_loop

pytestmark = pytest.mark.contract  # holds on any Supabase


def read(path: Path, *, samples: bool) -> Extracted:
    """Hang on, or die of, files that say so: no real recording is known that does it."""
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"HANG":
        time.sleep(60)
    if start == b"KILL":
        os._exit(9)
    return extract(path, samples=samples)


@asynccontextmanager
async def _served(
    harness: Harness, isolation: Isolation
) -> AsyncIterator[ClaimLoop[ClaimedSession]]:
    settings = settings_of(harness.stack, poll_seconds=1, max_attempts=3)
    metadata = MetadataService(harness.connection.supabase)
    store = ObjectStore(harness.connection, harness.bucket)
    with ThreadPoolExecutor(settings.concurrency) as readers:
        processor = Processor(metadata, store, isolation, readers, settings)
        loop = make_session_loop(metadata, processor, settings, Watchdog())
        running = asyncio.create_task(loop.run())
        yield loop
        loop.stop()
        await running


@pytest.mark.parametrize(
    ("content", "seconds_allowed", "said"),
    [(b"HANG", 3, "took longer"), (b"KILL", 10, "ended the process")],
)
async def test_three_costly_files_in_a_row_leave_the_next_session_served_at_once(
    harness: Harness, content: bytes, seconds_allowed: int, said: str
) -> None:
    costly = [await harness.session(content + bytes([number])) for number in range(3)]
    with closing(
        Isolation(seconds=seconds_allowed, megabytes=512, children=1, read=read)
    ) as isolation:
        async with _served(harness, isolation) as loop:
            await harness.until_done(costly)
            good = await harness.session(RECORDING)
            loop.wake()
            row = await harness.until(good, "completed", "failed")
    assert row["processing_status"] == "completed"
    for session in costly:
        row = await harness.row(session)
        assert row["processing_status"] == "failed"
        assert row["processing_error"].startswith("c3d_too_costly: ")
        assert said in row["processing_error"]
        assert row["processing_attempts"] == 1
        assert await harness.technical(session) is None
