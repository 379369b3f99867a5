"""A loop that is told to stop ends at once when it has nothing to do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from worker.backend.sessions import ClaimedSession
from worker.errors import WorkerError
from worker.queueing.claim_loop import ClaimLoop


class SlowQueue:
    """An empty queue that answers a claim when it is told to."""

    kind = "session"

    def __init__(self) -> None:
        self.asked, self.answers = asyncio.Event(), asyncio.Event()

    async def claim(self, claim: UUID, *, limit: int, with_abandoned: bool) -> list[ClaimedSession]:
        del claim, limit, with_abandoned
        self.asked.set()
        await self.answers.wait()
        return []

    async def extend(self, items: Sequence[ClaimedSession]) -> Mapping[UUID, bool]:
        return {item.id: True for item in items}

    async def release(
        self,
        items: Sequence[ClaimedSession],
        reason: WorkerError | None,
        *,
        delay_seconds: float = 0,
    ) -> set[UUID]:
        del reason, delay_seconds
        return {item.id for item in items}

    def look_at_all(self) -> None:
        """There is nothing to look at."""


async def _nothing(_: ClaimedSession) -> None:
    """No item comes."""


async def test_a_stop_that_comes_while_a_claim_is_under_way_waits_for_nothing_else() -> None:
    queue = SlowQueue()
    loop = ClaimLoop(queue, _nothing, slots=1, lease_seconds=60, shutdown_timeout_seconds=30)
    running = asyncio.create_task(loop.run())
    await queue.asked.wait()
    loop.stop()
    await asyncio.sleep(0)  # the shutdown begins
    queue.answers.set()
    async with asyncio.timeout(5):
        await running
