"""Phase 1 put together from its parts, the same for `run` and for the commands."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.routing import Route

from worker.backend.connection import Connection
from worker.backend.held_objects import HeldObjects
from worker.backend.object_store import ObjectStore
from worker.backend.queued_uploads import ClaimedObject
from worker.backend.upload_queue import UploadQueue
from worker.errors import SettingError
from worker.intake.intake import Intake
from worker.intake.webhook_service import WebhookService
from worker.intake.webhook_signature import Signatures
from worker.observing.watchdog import Watchdog
from worker.queueing.claim_loop import ClaimLoop
from worker.queueing.outage import OutageCheck
from worker.settings import Settings

MAX_AHEAD = 2  # times the slots: a fresh upload is hashed after those that were claimed before it


def make_intake(
    connection: Connection,
    settings: Settings,
    wake_sessions: Callable[[], None] = lambda: None,
    held: HeldObjects | None = None,
) -> Intake:
    """Intake as the settings say; `wake_sessions` is called when a session can be claimed.

    Uploads stay `held` where the same process reads the sessions.
    """
    return Intake(
        ObjectStore(connection, settings.c3d_bucket),
        UploadQueue(
            connection.supabase,
            settings.c3d_bucket,
            lease_seconds=settings.lease_seconds,
            every_file=settings.other_files == "skip",
        ),
        slots=settings.concurrency,
        patient=re.compile(settings.patient_id_pattern),
        held=held or HeldObjects(),
        wake_sessions=wake_sessions,
    )


def make_intake_loop(
    intake: Intake,
    settings: Settings,
    take: Callable[[ClaimedObject], Awaitable[Any]] | None = None,
    watchdog: Watchdog | None = None,
    outage: OutageCheck | None = None,
) -> ClaimLoop[ClaimedObject]:
    """The claim loop of the queue of uploads; `take` is what is done with each."""
    return ClaimLoop(
        intake.queue,
        take or intake.take,
        slots=settings.concurrency,
        lease_seconds=settings.lease_seconds,
        max_pause_seconds=settings.poll_seconds,
        max_ahead=MAX_AHEAD,
        shutdown_timeout_seconds=settings.shutdown_timeout_seconds,
        watchdog=watchdog,
        outage=outage,
    )


def webhook_routes(
    intake: Intake, loop: ClaimLoop[ClaimedObject], settings: Settings
) -> list[Route]:
    """What hears of uploads, on behalf of the queue; nothing without a secret.

    Raises:
        SettingError: there is a secret, and nothing would be heard.
    """
    if settings.webhook_secret is None:
        return []
    if not settings.http_port:
        raise SettingError(
            "WEBHOOK_SECRET is set, and HTTP_PORT=0 serves no webhook. "
            "Set HTTP_PORT to a port, or leave WEBHOOK_SECRET out: no webhook is needed."
        )
    service = WebhookService(
        queue=intake.queue,
        signatures=Signatures(settings.webhook_secret.get_secret_value()),
        wake_intake=loop.wake,
    )
    return service.routes()
