"""How the queue is, for whoever asks: asked so seldom that it costs Supabase nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from worker.backend.queue_report import QueueReport, QueueReports
from worker.errors import WorkerError

TTL_SECONDS = 15.0  # of an answer, however often somebody asks
ANSWER_SECONDS = 5.0  # to wait for one; Prometheus waits ten for all

Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)


class QueueStats:
    """Keeps the last answers for some seconds."""

    def __init__(self, reports: QueueReports, *, ttl_seconds: float = TTL_SECONDS) -> None:
        """`ttl_seconds` is how long an answer is good for."""
        self._presence = _TtlCache(reports.present, ttl_seconds)
        self._report = _TtlCache(reports.queue, ttl_seconds)

    async def reachable(self) -> bool:
        """Whether Supabase answers a cheap question, or did so some seconds ago."""
        return await self._presence.answer() is not None

    async def look(self) -> QueueReport | None:
        """Return the queue as it is, or was some seconds ago; None: no answer came in time."""
        return await self._report.answer()


class _TtlCache(Generic[Answer]):
    """One question and its last answer; several who ask at once cause one call."""

    def __init__(self, ask: Callable[[], Awaitable[Answer]], ttl_seconds: float) -> None:
        self._ask = ask
        self._ttl_seconds = ttl_seconds
        self._asking = asyncio.Lock()
        self._asked: float | None = None
        self._answer: Answer | None = None

    async def answer(self) -> Answer | None:
        async with self._asking:
            if self._asked is None or time.monotonic() - self._asked >= self._ttl_seconds:
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
