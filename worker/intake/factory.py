"""Phase 1 put together from its parts, the same for `run` and for the commands."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from starlette.routing import Route

from worker.backend.cache_service import CacheService
from worker.backend.connection import Connection
from worker.backend.intake_register import IntakeRegister
from worker.backend.metadata_service import MetadataService
from worker.backend.object_store import ObjectStore
from worker.errors import SettingError
from worker.intake.bucket_sweep import BucketSweep
from worker.intake.intake import Intake
from worker.intake.webhook_service import WebhookService
from worker.intake.webhook_signature import Signatures
from worker.settings import Settings


def make_intake(
    connection: Connection, settings: Settings, requeued: Callable[[], None] = lambda: None
) -> Intake:
    """Intake as the settings say; `requeued` is called when a session can be claimed again."""
    return Intake(
        store=ObjectStore(connection, settings.c3d_bucket),
        register=IntakeRegister(
            connection.supabase,
            settings.c3d_bucket,
            lease_seconds=settings.lease_seconds,
            every_file=settings.other_files == "skip",
        ),
        metadata=MetadataService(connection.supabase),
        cache=CacheService(connection.supabase),
        slots=asyncio.Semaphore(settings.concurrency),
        patient=re.compile(settings.patient_id_pattern),
        requeued=requeued,
    )


def make_sweep(intake: Intake, settings: Settings) -> BucketSweep:
    """The sweep around `intake`, with as many steps at once as there are slots."""
    return BucketSweep(
        intake, every_seconds=settings.bucket_sweep_seconds, at_once=settings.concurrency
    )


def webhook_routes(intake: Intake, sweep: BucketSweep, settings: Settings) -> list[Route]:
    """What hears of uploads, on behalf of `intake`; nothing without a secret.

    Raises:
        SettingError: there is a secret, and nothing would be heard.
    """
    if settings.webhook_secret is None:
        return []
    if not settings.http_port:
        raise SettingError(
            "WEBHOOK_SECRET is set, and HTTP_PORT=0 serves no webhook. "
            "Set HTTP_PORT to a port, or leave WEBHOOK_SECRET out: the sweep finds every upload."
        )
    service = WebhookService(
        intake=intake,
        signatures=Signatures(settings.webhook_secret.get_secret_value()),
        bucket=settings.c3d_bucket,
        every_file=settings.other_files == "skip",
        wake_sweep=sweep.wake,
    )
    return service.routes()
