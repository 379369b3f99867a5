"""The items that this worker has claimed and works on, and which may run beside which."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic
from uuid import UUID

from worker.queueing.clock import now
from worker.queueing.queue import ItemT

AHEAD_SECONDS = 0.25  # of work that is claimed before a slot is free for it
MAX_AHEAD = 3  # times the slots, unless a queue wants less


@dataclass(slots=True)
class ActiveClaim(Generic[ItemT]):
    """An item, when its lease began, and the task that works on it."""

    item: ItemT
    leased_at: float  # seconds, of `now`
    locked: bool = False  # by somebody else, so that its lease could not be extended
    task: asyncio.Task[None] = field(init=False)


class ActiveClaims(Generic[ItemT]):
    """Starts the work on claimed items, and says how many more may be claimed.

    1. Of slow items as many are claimed as there are `slots`, because a worker that dies should
       hold no more than it works on. Of quick ones more are claimed ahead, as many as ended in the
       last AHEAD_SECONDS, because a claim for each would cost more than its work; but not more
       than `max_ahead` times the slots, because an item that is claimed waits for those before it.
    2. While it is not known whether Supabase is back, one item at a time is claimed: a probe.
    3. An abandoned item may be what its last worker died of. It takes a slot of its own, beside
       the others, and no other abandoned item runs beside it. So one that kills its worker costs
       each item beside it one attempt: from then on that item is abandoned too, and never again
       beside the killer. To end an innocent item takes as many different killers as it has
       attempts, each beside it in its turn.
    4. An item whose row somebody else has locked can only wait. It takes no slot, so that a lock
       that is held for long keeps back no other item.
    """

    def __init__(self, slots: int, on_change: Callable[[], None], *, max_ahead: int) -> None:
        """`on_change` is called when there may be more room than before."""
        self._slots = slots
        self._on_change = on_change
        self._claims: dict[UUID, ActiveClaim[ItemT]] = {}
        self._ended_at: deque[float] = deque(maxlen=max_ahead * slots)  # of those that got through

    def __iter__(self) -> Iterator[ActiveClaim[ItemT]]:
        """Iterate over a copy: claims may end meanwhile."""
        return iter(list(self._claims.values()))

    def __len__(self) -> int:
        """Return how many items are claimed and not ended."""
        return len(self._claims)

    @property
    def has_abandoned(self) -> bool:
        """Whether one of them was abandoned by its last worker."""
        return any(each.item.abandoned for each in self)

    def room(self, *, probing: bool) -> int:
        """Return how many items may be claimed now, abandoned ones not counted."""
        if probing:
            return 0 if self._claims else 1
        active = sum(not (each.item.abandoned or each.locked) for each in self)
        begin = now() - AHEAD_SECONDS
        room = self._slots + sum(at > begin for at in self._ended_at) - active
        # Few large claims rather than many small ones.
        return room if active < self._slots or room >= self._slots else 0

    def start(
        self, item: ItemT, leased_at: float, work: Callable[[ItemT], Awaitable[None]]
    ) -> None:
        """Begin to work on an item that was just claimed."""
        if older := self._claims.pop(item.id, None):
            older.task.cancel()  # its lease ran out, and the item came back to this worker
        claim = ActiveClaim(item, leased_at)
        claim.task = asyncio.create_task(self._run(claim, work))
        self._claims[item.id] = claim

    def record_success(self) -> None:
        """Note that an item got through: as many more may be claimed ahead for a moment."""
        self._ended_at.append(now())

    def extended(self, claim: ActiveClaim[ItemT], at: float, *, locked: bool) -> None:
        """Note that a lease was extended `at` a time, or is as it was while its row is locked."""
        if locked and not claim.locked:
            self._on_change()
        claim.locked = locked
        if not locked:
            claim.leased_at = at

    async def cancel(self) -> list[ItemT]:
        """End all work, and return the items whose work did not come to its end."""
        unfinished = list(self)
        for each in unfinished:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in unfinished), return_exceptions=True)
        return [each.item for each in unfinished]

    async def _run(
        self, claim: ActiveClaim[ItemT], work: Callable[[ItemT], Awaitable[None]]
    ) -> None:
        try:
            await work(claim.item)
        finally:
            if self._claims.get(claim.item.id) is claim:
                del self._claims[claim.item.id]
            self._on_change()
