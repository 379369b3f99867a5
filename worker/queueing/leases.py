"""Extends the leases of the items that this worker works on, before they run out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic

import structlog

from worker.errors import UnavailableError
from worker.observing import metrics
from worker.observing.watchdog import MAX_STEP_SECONDS
from worker.queueing.active_claims import ActiveClaims
from worker.queueing.clock import now
from worker.queueing.queue import ItemT, Queue, named

CHECKS_PER_LEASE = 6
LOCKED_CHECK_SECONDS = 1.0  # while a row is locked: its lease may run out as the lock goes

log = structlog.get_logger(__name__)


class Leases(Generic[ItemT]):
    """The leases of the active claims, each `seconds` long."""

    def __init__(self, queue: Queue[ItemT], active: ActiveClaims[ItemT], seconds: int) -> None:
        """`seconds` is how long a lease lasts from its claim, or from its last extension."""
        self._queue = queue
        self._active = active
        self._seconds = seconds

    @property
    def check_seconds(self) -> float:
        """Seconds between two calls of `extend` that let no lease run out."""
        usual = self._seconds / CHECKS_PER_LEASE
        return (
            min(usual, LOCKED_CHECK_SECONDS) if any(each.locked for each in self._active) else usual
        )

    async def extend(self) -> None:
        """Extend all leases in one call, once one of them is past half of its length.

        The work on an item that another worker has claimed meanwhile is cancelled.

        Raises:
            UnavailableError: Supabase is in trouble; no lease is thought longer than it was.
        """
        leased_at, claims = now(), list(self._active)
        if not any(each.leased_at < leased_at - self._seconds / 2 for each in claims):
            return
        async with answered_within(self._seconds / CHECKS_PER_LEASE):
            kept = await self._queue.extend([each.item for each in claims])
        for each in claims:
            if each.item.id in kept:
                self._active.extended(each, leased_at, locked=not kept[each.item.id])
            elif not each.task.done():
                log.warning("lease_lost", **named(self._queue, each.item))
                metrics.lease_lost()
                each.task.cancel()


@asynccontextmanager
async def answered_within(seconds: float) -> AsyncIterator[None]:
    """Give up a call that would outlast what it is about, or make the loop seem stuck."""
    seconds = min(seconds, MAX_STEP_SECONDS)
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise UnavailableError(f"Supabase did not answer within {seconds:.1f} s.") from None
