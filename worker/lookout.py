"""Looks at the queue for whoever asks, seldom enough to cost Supabase nothing."""

from __future__ import annotations

import asyncio
import time

import structlog

from worker.backend.queue_report import QueueReport, QueueReports
from worker.errors import WorkerError

EVERY = 15.0  # seconds between two looks, however often somebody asks
PATIENCE = 5.0  # seconds; whoever asks waits ten, as Prometheus does

log = structlog.get_logger(__name__)


class Lookout:
    """Keeps the last report of the queue."""

    def __init__(self, reports: QueueReports, *, every: float = EVERY) -> None:
        """Bind; nothing is asked yet."""
        self._reports = reports
        self._every = every
        self._looking = asyncio.Lock()  # several who ask at once are told of one look
        self._looked: float | None = None
        self._report: QueueReport | None = None

    async def look(self) -> QueueReport | None:
        """Say how the queue is, or was some seconds ago; None: Supabase did not answer."""
        async with self._looking:
            if self._looked is None or time.monotonic() - self._looked >= self._every:
                self._report = await self._asked()
                self._looked = time.monotonic()
            return self._report

    async def _asked(self) -> QueueReport | None:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._reports.queue()
        except TimeoutError:
            log.debug("queue_unseen", code="timeout")
        except WorkerError as error:
            log.debug("queue_unseen", code=error.code)
        return None
