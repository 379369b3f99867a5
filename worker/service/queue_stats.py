"""Looks at the queue for whoever asks, seldom enough to cost Supabase nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from worker.backend.queue_report import QueueReport, QueueReports
from worker.errors import WorkerError

TTL_SECONDS = 15.0  # seconds between two looks, however often somebody asks
ANSWER_SECONDS = 5.0  # seconds; whoever asks waits ten, as Prometheus does

Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)


class QueueStats:
    """Keeps the last answers."""

    def __init__(self, reports: QueueReports, *, every: float = TTL_SECONDS) -> None:
        """Bind; nothing is asked yet."""
        self._presence = _TtlCache(reports.present, every)
        self._report = _TtlCache(reports.queue, every)

    async def reachable(self) -> bool:
        """Whether Supabase answers a cheap question, or did some seconds ago."""
        return await self._presence.answer() is not None

    async def look(self) -> QueueReport | None:
        """Say how the queue is, or was some seconds ago; None: that was not answered in time."""
        return await self._report.answer()


class _TtlCache(Generic[Answer]):
    """One question, and its last answer."""

    def __init__(self, ask: Callable[[], Awaitable[Answer]], every: float) -> None:
        self._ask = ask
        self._every = every
        self._asking = asyncio.Lock()  # several who ask at once are told of one answer
        self._asked: float | None = None
        self._answer: Answer | None = None

    async def answer(self) -> Answer | None:
        async with self._asking:
            if self._asked is None or time.monotonic() - self._asked >= self._every:
                self._answer = await self._answered()
                self._asked = time.monotonic()
            return self._answer

    async def _answered(self) -> Answer | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._ask()
        except TimeoutError:
            log.debug("queue_unseen", code="timeout")
        except WorkerError as error:
            log.debug("queue_unseen", code=error.code)
        return None
