"""The queue of sessions as the claim loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from worker.backend.held_objects import HeldObjects
from worker.backend.horizon import Horizon, of_sessions
from worker.backend.metadata_service import MetadataService
from worker.backend.sessions import ClaimedSession
from worker.errors import WorkerError


@dataclass(frozen=True, slots=True)
class SessionQueue:
    """Claims, extends and releases sessions."""

    metadata: MetadataService
    lease_seconds: int
    max_attempts: int
    bucket: str
    held: HeldObjects = field(default_factory=HeldObjects)
    kind: str = "session"
    horizon: Horizon = field(default_factory=of_sessions)

    async def claim(self, claim: UUID, *, limit: int, with_abandoned: bool) -> list[ClaimedSession]:
        """Claim up to `limit` sessions that are due, and one abandoned session more if wanted.

        Those come first whose bytes this worker holds: several workers leave each other theirs.
        """
        return await self.metadata.claim(
            claim,
            limit=limit,
            lease_seconds=self.lease_seconds,
            max_attempts=self.max_attempts,
            with_abandoned=with_abandoned,
            bucket=self.bucket,
            held=self.held.sessions,
            horizon=self.horizon,
        )

    def look_at_all(self) -> None:
        """Have the next claim look at all sessions."""
        self.horizon.forget()

    async def extend(self, items: Sequence[ClaimedSession]) -> dict[UUID, bool]:
        """Extend the leases; return the sessions still this worker's, and which were extended."""
        return await self.metadata.extend(items, lease_seconds=self.lease_seconds)

    async def release(
        self,
        items: Sequence[ClaimedSession],
        reason: WorkerError | None,
        *,
        delay_seconds: float = 0,
    ) -> set[UUID]:
        """Give sessions back with what they wait for, the attempt not counted."""
        return await self.metadata.release(items, reason, delay_seconds=delay_seconds)
