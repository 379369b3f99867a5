"""Extends the leases of the sessions that this worker works on, before they run out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from worker.backend.metadata_service import MetadataService
from worker.errors import UnavailableError
from worker.observing import metrics
from worker.observing.watchdog import MAX_STEP_SECONDS
from worker.processing.active_claims import ActiveClaims, now

CHECKS_PER_LEASE = 6

log = structlog.get_logger(__name__)


class Leases:
    """The leases of the active claims, each `seconds` long."""

    def __init__(self, metadata: MetadataService, active: ActiveClaims, seconds: int) -> None:
        """`seconds` is how long a lease lasts from its claim, or from its last extension."""
        self._metadata = metadata
        self._active = active
        self._seconds = seconds

    @property
    def check_seconds(self) -> float:
        """Seconds between two calls of `extend` that let no lease run out."""
        return self._seconds / CHECKS_PER_LEASE

    async def extend(self) -> None:
        """Extend all leases in one call, once one of them is past half of its length.

        The work on a session that another worker has claimed meanwhile is cancelled.

        Raises:
            UnavailableError: Supabase is in trouble; no lease is thought longer than it was.
        """
        leased_at, claims = now(), list(self._active)
        if not any(each.leased_at < leased_at - self._seconds / 2 for each in claims):
            return
        async with answered_within(self.check_seconds):
            kept = await self._metadata.extend(
                [each.session for each in claims], lease_seconds=self._seconds
            )
        for each in claims:
            if each.session.id in kept:
                each.leased_at = leased_at
            elif not each.task.done():
                log.warning(
                    "lease_lost", session=str(each.session.id), attempt=each.session.attempt
                )
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
