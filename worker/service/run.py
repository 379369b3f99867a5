"""The long-running process: intake, Realtime, claim loop and HTTP server; their start and stop."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing
from functools import partial

import structlog

from worker.backend.connection import Connection, connect
from worker.backend.held_objects import HeldObjects
from worker.backend.installation import Installation
from worker.backend.metadata_service import MetadataService
from worker.backend.object_store import ObjectStore
from worker.backend.previews import Previews
from worker.backend.queue_look import QueueLook, QueueLooks
from worker.backend.queue_report import QueueReports
from worker.backend.queued_uploads import ClaimedObject
from worker.backend.realtime_connection import WakeReason
from worker.backend.realtime_listener import RealtimeListener
from worker.backend.sessions import ClaimedSession
from worker.backend.upload_queue import UploadQueue
from worker.errors import WorkerError
from worker.extraction.isolation import Isolation, extract
from worker.intake.factory import make_intake, make_intake_loop, webhook_routes
from worker.intake.reconciliation import Reconciliation
from worker.observing import metrics
from worker.observing.sd_notify import READY, STOPPING, notify, tell
from worker.observing.watchdog import Watchdog
from worker.previews.pictures import Pictures
from worker.processing.processor import Processor
from worker.processing.session_queue import SessionQueue
from worker.queueing.claim_loop import ClaimLoop
from worker.queueing.outage import OutageCheck
from worker.service.health_service import HealthService
from worker.service.http_server import HttpServer, bind
from worker.service.poll import Poll
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
    if settings.sends_in_clear:
        log.warning("url_not_encrypted", url=settings.supabase_url)
    async with AsyncExitStack() as context:
        connection = await context.enter_async_context(connect(settings))
        metadata = MetadataService(connection.supabase)
        store = ObjectStore(connection, settings.c3d_bucket)

        def wake_sessions() -> None:
            loop.wake()  # made below, when nothing forbids the start any more

        held = hold_uploads(settings)
        intake = make_intake(connection, settings, wake_sessions, held)
        looks = QueueLooks(
            connection.supabase, intake.queue.bucket, every_file=intake.queue.every_file
        )
        first_look = await check_start(looks, metadata, store, intake.queue)
        listener = (
            context.enter_context(bind(settings.http_host, settings.http_port))
            if settings.http_port
            else None
        )

        # Ends after the isolation, when no thread waits for one of its children any more.
        readers = context.enter_context(ThreadPoolExecutor(settings.concurrency + 1, "reader"))
        # Whatever may forbid the start has been asked; children cost the most to start.
        isolation = context.enter_context(closing(isolate(settings)))
        pictures = Pictures(Previews(connection.supabase), store, settings)
        processor = Processor(
            metadata,
            store,
            isolation,
            readers,
            settings,
            held=held,
            draw=pictures.offer if settings.draws else None,
        )
        of_sessions = Watchdog(others_alive=lambda: of_uploads.alive)
        of_uploads = Watchdog(others_alive=lambda: of_sessions.alive)
        outage = OutageCheck(store, QueueReports(connection.supabase), Installation(connection))
        loop = make_session_loop(metadata, processor, settings, of_sessions, outage, held=held)
        intake_loop = make_intake_loop(intake, settings, watchdog=of_uploads, outage=outage)
        reconciliation = Reconciliation(
            intake.queue, intake_loop.look_again, every_seconds=settings.bucket_sweep_seconds
        )
        reconciliation.note(first_look)

        def stop() -> None:
            notify(STOPPING)
            if server:
                server.stop()
            loop.stop()
            intake_loop.stop()

        poll = Poll(
            looks,
            reconciliation,
            wake_sessions=loop.look_again,
            wake_intake=intake_loop.look_again,
            stop=stop,
            seconds=settings.poll_seconds,
        )
        realtime = make_listener(connection, metadata, loop, intake_loop, poll)
        health = HealthService(
            (of_sessions, of_uploads),
            QueueStats(QueueReports(connection.supabase)),
            loop,
            intake_loop,
            reconciliation,
            realtime,
        )
        routes = [*health.routes(), *webhook_routes(intake, intake_loop, settings)]
        server = listener and HttpServer(routes, listener)

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        log.info("worker_started", url=connection.url, concurrency=settings.concurrency)
        notify(READY)
        async with asyncio.TaskGroup() as group:
            side_tasks = [
                group.create_task(each.run()) for each in (realtime, reconciliation, poll, pictures)
            ]
            if server:
                group.create_task(server.run())
            taking_in = group.create_task(intake_loop.run())
            await loop.run()
            await taking_in
            for task in side_tasks:
                task.cancel()
        log.info("worker_stopped")
        if poll.wrong_schema:
            raise poll.wrong_schema


def isolate(settings: Settings) -> Isolation:
    """Start the children that read recordings, and what pictures need where there are some."""
    return Isolation(
        seconds=settings.extract_seconds,
        megabytes=settings.extract_mb,
        read=partial(extract, envelope=settings.draws),
    )


def hold_uploads(settings: Settings) -> HeldObjects:
    """What the two phases share, within the bounds of the settings, and shown by the metrics."""
    held = HeldObjects(
        max_bytes=settings.held_bytes,
        max_object_bytes=settings.max_file_bytes,
        seconds=settings.held_seconds,
    )
    metrics.show_held(lambda: held.files, lambda: held.bytes)
    return held


def make_session_loop(
    metadata: MetadataService,
    processor: Processor,
    settings: Settings,
    watchdog: Watchdog,
    outage: OutageCheck | None = None,
    *,
    held: HeldObjects | None = None,
) -> ClaimLoop[ClaimedSession]:
    """The claim loop of the queue of sessions."""
    return ClaimLoop(
        SessionQueue(
            metadata,
            settings.lease_seconds,
            settings.max_attempts,
            settings.c3d_bucket,
            held or HeldObjects(),
        ),
        processor.process,
        slots=settings.concurrency,
        lease_seconds=settings.lease_seconds,
        max_pause_seconds=settings.poll_seconds,
        shutdown_timeout_seconds=settings.shutdown_timeout_seconds,
        watchdog=watchdog,
        outage=outage,
    )


async def check_start(
    looks: QueueLooks, metadata: MetadataService, store: ObjectStore, queue: UploadQueue
) -> QueueLook:
    """Ask for all that the worker needs, and have uploads to its bucket announce themselves.

    Returns:
        The first look at the queues.

    Raises:
        UnavailableError: something is not there, or Supabase is in trouble.
    """
    tell("Asks Supabase for what the worker needs.")
    await looks.look()  # whether the functions are of its version
    await metadata.check()
    await store.check()
    await queue.check()
    try:
        if await queue.share_settings():
            log.warning("settings_shared", bucket=queue.bucket)
    except WorkerError as error:  # where it may not, it reads the bucket more often
        log.warning("settings_not_shared", code=error.code)
    return await looks.look()


def make_listener(
    connection: Connection,
    metadata: MetadataService,
    loop: ClaimLoop[ClaimedSession],
    intake_loop: ClaimLoop[ClaimedObject],
    poll: Poll,
) -> RealtimeListener:
    """Realtime, waking what has to look."""

    def wake(why: WakeReason) -> None:
        if why is WakeReason.INSERT:
            log.debug("insert_heard")
            loop.wake()
        elif why is WakeReason.UPLOAD:
            log.debug("upload_heard")
            intake_loop.wake()
        elif why is WakeReason.MISSED:
            log.debug("missed_upload_heard")
            poll.soon()
        else:
            log.debug("woken", why=str(why))
            if why is WakeReason.READY:
                metrics.realtime_ready()
            elif why is not WakeReason.FEED:
                metrics.realtime_lost(deaf=why is WakeReason.DEAF)
            loop.wake()
            intake_loop.wake()

    return RealtimeListener(connection.url, connection.key, metadata.ring_probe, wake)
