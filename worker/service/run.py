"""The long-running process: intake, Realtime, claim loop and HTTP server; their start and stop."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing

import structlog

from worker.backend.connection import Connection, connect
from worker.backend.metadata_service import MetadataService
from worker.backend.object_store import ObjectStore
from worker.backend.queue_report import QueueReports
from worker.backend.realtime_listener import RealtimeListener, WakeReason
from worker.extraction.isolation import Isolation
from worker.intake.factory import make_intake, make_sweep, webhook_routes
from worker.observing import metrics
from worker.observing.sd_notify import READY, STOPPING, notify
from worker.observing.watchdog import Watchdog
from worker.processing.claim_loop import ClaimLoop
from worker.processing.processor import Processor
from worker.service.health_service import HealthService
from worker.service.http_server import HttpServer, bind
from worker.service.queue_stats import QueueStats
from worker.settings import Settings

log = structlog.get_logger(__name__)


async def run(settings: Settings) -> None:
    """Serve sessions until SIGTERM or SIGINT; a second signal hurries the end.

    Raises:
        UnavailableError: at the start, what the worker needs is not there; its code and
            sentence say what.
        SettingError: the port of the HTTP server is taken.
    """
    async with AsyncExitStack() as context:
        connection = await context.enter_async_context(connect(settings))
        metadata = MetadataService(connection.supabase)
        store = ObjectStore(connection, settings.c3d_bucket)

        def requeued() -> None:
            loop.wake()  # made below, when nothing forbids the start any more

        intake = make_intake(connection, settings, requeued)
        context.push_async_callback(intake.close)
        await metadata.check()
        await store.check()
        await intake.register.left()  # its migration is applied
        listener = (
            context.enter_context(bind(settings.http_host, settings.http_port))
            if settings.http_port
            else None
        )

        # Ends after the isolation, when no thread waits for one of its children any more.
        readers = context.enter_context(ThreadPoolExecutor(settings.concurrency, "reader"))
        # Whatever may forbid the start has been asked; children cost the most to start.
        isolation = context.enter_context(
            closing(Isolation(seconds=settings.extract_seconds, megabytes=settings.extract_mb))
        )
        processor = Processor(metadata, store, isolation, readers, settings)
        watchdog = Watchdog()
        loop = ClaimLoop(metadata, processor.process, settings, watchdog)
        realtime = make_listener(connection, loop)
        sweep = make_sweep(intake, settings)
        health = HealthService(
            watchdog, QueueStats(QueueReports(connection.supabase)), loop, realtime
        )
        routes = [*health.routes(), *webhook_routes(intake, sweep, settings)]
        server = HttpServer(routes, listener) if listener else None
        side_tasks: list[asyncio.Task[None]] = []

        def stop() -> None:
            notify(STOPPING)
            if server:
                server.stop()
            for task in side_tasks:
                task.cancel()
            loop.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        log.info("worker_started", url=connection.url, concurrency=settings.concurrency)
        notify(READY)
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(realtime.run())
            side_tasks.append(group.create_task(sweep.run()))
            if server:
                group.create_task(server.run())
            await loop.run()
            listening.cancel()
        log.info("worker_stopped")


def make_listener(connection: Connection, loop: ClaimLoop) -> RealtimeListener:
    """Realtime, waking the claim loop."""

    def wake(why: WakeReason) -> None:
        if why is WakeReason.GAP:
            metrics.realtime_lost()
        elif why is WakeReason.READY:
            metrics.realtime_ready()
        log.debug("insert_heard" if why is WakeReason.INSERT else "woken", why=str(why))
        loop.wake()

    return RealtimeListener(connection.url, connection.key, wake)
