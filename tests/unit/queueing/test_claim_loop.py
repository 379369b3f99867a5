"""The claim loop asks its queue when there is a reason to, and ends at once when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

from worker.backend.sessions import ClaimedSession
from worker.errors import WorkerError
from worker.queueing.claim_loop import ClaimLoop

ITEM = ClaimedSession(
    id=uuid4(),
    claim=uuid4(),
    file_path="P001/a.c3d",
    object_path="P001/a.c3d",
    file_hash="0" * 64,
    hash_measured=True,
    file_size_bytes=512,
    attempt=1,
    abandoned=False,
)


class SlowQueue:
    """A queue of a few items that answers a claim when it is told to."""

    kind = "session"

    def __init__(self, *items: ClaimedSession) -> None:
        self.asked, self.answers = asyncio.Event(), asyncio.Event()
        self.claims = 0
        self._items = list(items)

    async def claim(self, claim: UUID, *, limit: int, with_abandoned: bool) -> list[ClaimedSession]:
        del claim, with_abandoned
        self.claims += 1
        self.asked.set()
        await self.answers.wait()
        claimed, self._items = self._items[:limit], self._items[limit:]
        return claimed

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


async def test_a_claim_that_left_nothing_is_not_repeated_until_something_changes() -> None:
    queue = SlowQueue(ITEM)
    queue.answers.set()
    at_work, ends = asyncio.Event(), asyncio.Event()

    async def work(_: ClaimedSession) -> None:
        at_work.set()
        await ends.wait()

    loop = ClaimLoop(queue, work, slots=2, lease_seconds=60, shutdown_timeout_seconds=30)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(5):
        await at_work.wait()
        await asyncio.sleep(0.1)
        assert queue.claims == 1
        queue.asked.clear()
        ends.set()  # its end is a reason to look again
        await queue.asked.wait()
        loop.stop()
        await running
