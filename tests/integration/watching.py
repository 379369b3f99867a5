"""Asking a worker's HTTP server, or a health service in this process, as a monitor would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import httpx
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from tests.integration.uploads import settings_of
from tests.integration.webhooks import SECRET
from worker.backend.connection import Connection
from worker.backend.metadata_service import MetadataService
from worker.backend.queue_look import QueueLooks
from worker.backend.queue_report import QueueReports
from worker.backend.sessions import ClaimedSession
from worker.intake.factory import make_intake, make_intake_loop
from worker.intake.reconciliation import Reconciliation
from worker.local.stack import StackInfo
from worker.observing.watchdog import Watchdog
from worker.processing.session_queue import SessionQueue
from worker.queueing.claim_loop import ClaimLoop
from worker.service.health_service import HealthService
from worker.service.poll import Poll
from worker.service.queue_stats import QueueStats
from worker.service.run import make_listener

Samples: TypeAlias = "dict[tuple[str, str], float]"


class Watcher:
    """Asks a worker's HTTP server, in this process unless it is given an address."""

    def __init__(self, address: str = "http://worker", health: HealthService | None = None) -> None:
        """Ask at `address`, or `health` in this process."""
        self._address = address
        self.health = health
        application = Starlette(routes=health.routes()) if health else None
        self._transport = httpx.ASGITransport(application) if application else None

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, timeout=20.0) as client:
            return await client.get(self._address + path)

    async def status(self, path: str) -> int:
        return (await self.get(path)).status_code

    async def readiness(self) -> tuple[int, Mapping[str, Any]]:
        answer = await self.get("/readyz")
        return answer.status_code, answer.json()

    async def metrics(self) -> Samples:
        """Every sample by its name and the values of its labels, in the order of their names."""
        answer = await self.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
        for unspeakable in ("planted-name", "P005", SECRET, "sb_secret"):
            assert unspeakable not in answer.text
        return {
            (sample.name, " ".join(filter(None, sample.labels.values()))): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }


def watcher_of(
    connection: Connection, stack: StackInfo, *, silence: float = 60.0, ttl_seconds: float = 0.0
) -> Watcher:
    """A health service in this process whose loops, sweep and listener do not run."""
    settings, metadata = settings_of(stack), MetadataService(connection.supabase)
    intake = make_intake(connection, settings)
    sessions: ClaimLoop[ClaimedSession] = ClaimLoop(
        SessionQueue(metadata, settings.lease_seconds, settings.max_attempts, settings.c3d_bucket),
        _process,
        slots=settings.concurrency,
        lease_seconds=settings.lease_seconds,
        poll_seconds=settings.poll_seconds,
        shutdown_timeout_seconds=settings.shutdown_timeout_seconds,
    )
    uploads = make_intake_loop(intake, settings)
    reconciliation = Reconciliation(intake.queue, uploads.wake, every_seconds=0)
    poll = Poll(
        QueueLooks(connection.supabase, settings.c3d_bucket, every_file=False),
        reconciliation,
        wake_sessions=sessions.wake,
        wake_intake=uploads.wake,
        stop=sessions.stop,
        seconds=settings.poll_seconds,
    )
    health = HealthService(
        (Watchdog(max_silence_seconds=silence), Watchdog()),
        QueueStats(QueueReports(connection.supabase), ttl_seconds=ttl_seconds),
        sessions,
        uploads,
        reconciliation,
        make_listener(connection, metadata, sessions, uploads, poll),
    )
    return Watcher(health=health)


async def _process(_: object) -> None:
    raise AssertionError


def served(port: str) -> Watcher:
    return Watcher(f"http://127.0.0.1:{port}")
