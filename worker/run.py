"""The long-running process: doorbell and claim loop, their start and their stop."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, closing

import structlog

from worker.backend.connection import connect
from worker.backend.doorbell import Doorbell, Ring
from worker.backend.metadata_service import MetadataService
from worker.backend.object_store import ObjectStore
from worker.claim_loop import ClaimLoop
from worker.extraction.isolation import Isolation
from worker.processor import Processor
from worker.settings import Settings

MEGABYTE = 1_000_000

log = structlog.get_logger(__name__)


async def run(settings: Settings) -> None:
    """Serve sessions until SIGTERM or SIGINT; a second signal hurries the end.

    Raises:
        UnavailableError: at the start, what the worker needs is not there; its code and
            sentence say what.
    """
    async with AsyncExitStack() as context:
        connection = await context.enter_async_context(connect(settings))
        metadata = MetadataService(connection.supabase)
        store = ObjectStore(connection, settings.c3d_bucket)
        await metadata.check()
        await store.check()

        isolation = context.enter_context(
            closing(Isolation(seconds=settings.extract_seconds, megabytes=settings.extract_mb))
        )
        processor = Processor(
            metadata, store, isolation, settings.max_attempts, settings.max_file_mb * MEGABYTE
        )
        loop = ClaimLoop(metadata, processor.process, settings)

        def ring(why: Ring) -> None:
            log.debug("insert_heard" if why is Ring.INSERT else "bell", why=str(why))
            loop.ring()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, loop.stop)
        log.info("worker_started", url=connection.url, concurrency=settings.concurrency)
        doorbell = Doorbell(connection.url, connection.key, ring)
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(doorbell.run())
            await loop.run()
            listening.cancel()
        log.info("worker_stopped")
