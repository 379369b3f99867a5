"""The sessions in a worker's hand, and their leases, kept while the work goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from worker.backend.metadata_service import MetadataService
from worker.backend.sessions import ClaimedSession
from worker.errors import UnavailableError
from worker.observing import metrics
from worker.observing.watchdog import MAX_STEP_SECONDS

CHECKS = 6  # looks at the leases in the length of one

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class ActiveClaim:
    """A session this worker holds, when its lease began, and the task that works on it."""

    session: ClaimedSession
    leased_at: float
    task: asyncio.Task[None] = field(init=False)


class Leases:
    """Knows what is in hand, and extends the leases in time."""

    def __init__(self, metadata: MetadataService, seconds: int) -> None:
        """Bind; every lease is `seconds` long. Nothing is in hand yet."""
        self._metadata = metadata
        self._seconds = seconds
        self.active: dict[UUID, ActiveClaim] = {}

    @property
    def check_every(self) -> float:
        """Seconds between two calls of `extend` that let no lease run out."""
        return self._seconds / CHECKS

    def drop(self, held: ActiveClaim) -> None:
        """Take `held` out of the hand, unless the same session came back in its place."""
        if self.active.get(held.session.id) is held:
            del self.active[held.session.id]

    async def extend(self) -> None:
        """Extend the leases, all in one call, once one of them is past half of its length.

        The work on a session whose lease is lost is cancelled.

        Raises:
            UnavailableError: Supabase is in trouble; no lease is thought longer than it was.
        """
        leased_at, active = now(), list(self.active.values())
        if not any(each.leased_at < leased_at - self._seconds / 2 for each in active):
            return
        async with answered_within(self.check_every):
            held = await self._metadata.extend(
                [each.session for each in active], lease_seconds=self._seconds
            )
        await asyncio.sleep(0)  # whose end was answered meanwhile comes to its end
        for each in active:
            if each.session.id in held:
                each.leased_at = leased_at
            elif not self._is_over(each):
                log.warning(
                    "lease_lost", session=str(each.session.id), attempt=each.session.attempt
                )
                metrics.lease_lost()
                each.task.cancel()

    def _is_over(self, held: ActiveClaim) -> bool:
        """Whether it left the hand by this worker's own doing, or is just about to.

        The database may have ended a session, and refused to extend it, before its end is
        answered; that answer says better than any lease whose the session was.
        """
        return held.task.done() or self._metadata.is_parting(held.session)


def now() -> float:
    """Seconds on a clock that nobody sets and that counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@asynccontextmanager
async def answered_within(seconds: float) -> AsyncIterator[None]:
    """Give up a call that would outlast what it is about, or make the loop seem stuck."""
    seconds = min(seconds, MAX_STEP_SECONDS)
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise UnavailableError(f"Supabase did not answer within {seconds:.1f} s.") from None
