"""The sessions that this worker has claimed and works on, and which may run beside which."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from worker.backend.sessions import ClaimedSession

AHEAD_SECONDS = 0.25  # of work that is claimed before a slot is free for it
MAX_AHEAD = 3  # times the slots

Work = Callable[[ClaimedSession], Awaitable[None]]


@dataclass(slots=True)
class ActiveClaim:
    """A session, when its lease began, and the task that works on it."""

    session: ClaimedSession
    leased_at: float  # seconds, of `now`
    task: asyncio.Task[None] = field(init=False)


class ActiveClaims:
    """Starts the work on claimed sessions, and says how many more may be claimed.

    1. At most `slots` sessions are processed at once. Of quick ones more are claimed ahead, as
       many as ended in the last AHEAD_SECONDS, because a claim for each would cost more than its
       work. Of slow ones a worker that dies should hold no more than it works on.
    2. While it is not known whether Supabase is back, one session at a time is claimed: a probe.
    3. An abandoned session may be what its last worker died of, and others beside it would spend
       attempts. So it waits until those before it have ended, and is processed alone.
    """

    def __init__(self, slots: int, on_end: Callable[[], None]) -> None:
        """`on_end` is called when the work on a session has ended, whatever its end."""
        self._slots = slots
        self._on_end = on_end
        self._claims: dict[UUID, ActiveClaim] = {}
        self._ended_at: deque[float] = deque(maxlen=MAX_AHEAD * slots)  # of those that got through

    def __iter__(self) -> Iterator[ActiveClaim]:
        """Iterate over a copy: claims may end meanwhile."""
        return iter(list(self._claims.values()))

    def __len__(self) -> int:
        """Return how many sessions are claimed and not ended."""
        return len(self._claims)

    def room(self, *, probing: bool) -> int:
        """Return how many sessions may be claimed now."""
        active = len(self._claims)
        if any(each.session.abandoned for each in self):
            return 0
        if probing:
            return 0 if active else 1
        begin = now() - AHEAD_SECONDS
        room = self._slots + sum(at > begin for at in self._ended_at) - active
        # Few large claims rather than many small ones.
        return room if active < self._slots or room >= self._slots else 0

    def start(self, session: ClaimedSession, leased_at: float, work: Work) -> None:
        """Begin to work on a session that was just claimed."""
        if older := self._claims.pop(session.id, None):
            older.task.cancel()  # its lease ran out, and the session came back to this worker
        before = [each.task for each in self] if session.abandoned else []
        claim = ActiveClaim(session, leased_at)
        claim.task = asyncio.create_task(self._run(claim, before, work))
        self._claims[session.id] = claim

    def record_success(self) -> None:
        """Note that a session got through: as many more may be claimed ahead for a moment."""
        self._ended_at.append(now())

    async def cancel(self) -> list[ClaimedSession]:
        """End all work, and return the sessions whose work did not come to its end."""
        unfinished = list(self)
        for each in unfinished:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in unfinished), return_exceptions=True)
        return [each.session for each in unfinished]

    async def _run(self, claim: ActiveClaim, before: list[asyncio.Task[None]], work: Work) -> None:
        try:
            if before:
                await asyncio.wait(before)
            await work(claim.session)
        finally:
            if self._claims.get(claim.session.id) is claim:
                del self._claims[claim.session.id]
            self._on_end()


def now() -> float:
    """Return seconds of a clock that nobody sets and that counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
