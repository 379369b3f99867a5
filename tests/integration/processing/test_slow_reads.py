"""Slow reads hold up each other and nothing else."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from tests.integration.harness import harness_of
from tests.integration.uploads import settings_of
from worker.backend.metadata_service import MetadataService
from worker.backend.object_store import ObjectStore
from worker.backend.sessions import ClaimedSession
from worker.extraction.isolation import Extracted, Isolation
from worker.local.migrated import connected
from worker.local.stack import StackInfo
from worker.processing.processor import Processor

CONCURRENCY = 16
DEFAULT_THREADS = 6  # what asyncio starts on two cores; on twelve it would have enough for all


def read(_: Path, *, samples: bool) -> Extracted:
    """Take longer than the test."""
    time.sleep(60)
    raise AssertionError(samples)


class Store(ObjectStore):
    """Counts the recordings whose reading has begun."""

    fetched = 0

    async def fetch(self, *arguments: object, **options: object) -> str:
        digest = await super().fetch(*arguments, **options)  # type: ignore[arg-type] # passed on
        self.fetched += 1
        return digest


async def _claim(metadata: MetadataService, limit: int) -> list[ClaimedSession]:
    return await metadata.claim(uuid4(), limit=limit, lease_seconds=60, max_attempts=5)


async def test_slow_reads_leave_name_resolution_and_claims_alone(migrated_stack: StackInfo) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(DEFAULT_THREADS))
    port = urlsplit(migrated_stack.url).port
    named = replace(migrated_stack, url=f"http://localhost:{port}")  # has to be resolved
    async with harness_of(migrated_stack) as harness:
        await harness.clear()
        for number in range(CONCURRENCY + 1):
            await harness.session(bytes([number]))
        metadata = MetadataService(harness.connection.supabase)
        store = Store(harness.connection, harness.bucket)
        settings = settings_of(migrated_stack, concurrency=CONCURRENCY)
        with (
            ThreadPoolExecutor(CONCURRENCY) as readers,
            closing(Isolation(seconds=60, megabytes=512, read=read)) as isolation,
        ):
            processor = Processor(metadata, store, isolation, readers, settings)
            slow = await _claim(metadata, CONCURRENCY)
            reading = [asyncio.create_task(processor.process(session)) for session in slow]
            async with asyncio.timeout(10):
                while store.fetched < CONCURRENCY:
                    await asyncio.sleep(0.02)
            async with asyncio.timeout(2), connected(named) as connection:
                (claimed,) = await _claim(MetadataService(connection.supabase), CONCURRENCY)
            for task in reading:
                task.cancel()
    assert claimed.id not in {session.id for session in slow}
