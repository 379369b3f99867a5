"""The claim loop asks its queue when there is a reason to, and ends at once when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from worker.backend.sessions import ClaimedSession
from worker.errors import UnavailableError, WorkerError
from worker.queueing import claim_loop
from worker.queueing.claim_loop import ClaimLoop

NEVER = 60.0  # seconds
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

    def __init__(self, *items: ClaimedSession, most: int = 100) -> None:
        self.asked, self.answers = asyncio.Event(), asyncio.Event()
        self.released = asyncio.Event()
        self.claims, self.away = 0, 0  # how often it was asked, and how often it will not answer
        self.abandoned_wanted: list[bool] = []
        self._items, self._most = list(items), most

    async def claim(self, claim: UUID, *, limit: int, with_abandoned: bool) -> list[ClaimedSession]:
        del claim
        self.claims += 1
        self.abandoned_wanted.append(with_abandoned)
        self.asked.set()
        if self.away:
            self.away -= 1
            raise UnavailableError("It is away.")
        await self.answers.wait()
        most = min(limit, self._most)
        claimed, self._items = self._items[:most], self._items[most:]
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
        self.released.set()
        return {item.id for item in items}

    def look_at_all(self) -> None:
        """There is nothing to look at."""


@asynccontextmanager
async def _running(
    queue: SlowQueue,
    work: Callable[[ClaimedSession], Awaitable[object]],
    *,
    slots: int = 2,
    draining: bool = False,
) -> AsyncIterator[tuple[ClaimLoop[ClaimedSession], asyncio.Task[None]]]:
    """Run a loop on a queue that answers at once, and stop it at the end; five seconds in all."""
    queue.answers.set()
    loop = ClaimLoop(queue, work, slots=slots, lease_seconds=60, shutdown_timeout_seconds=30)
    running = asyncio.create_task(loop.drain() if draining else loop.run())
    async with asyncio.timeout(5):
        yield loop, running
        loop.stop()
        await running


async def _turns() -> None:
    """Let the event loop turn often enough for a claim and what follows it."""
    for _ in range(20):
        await asyncio.sleep(0)


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


@pytest.mark.parametrize("draining", [False, True])
async def test_a_claim_that_did_not_fill_the_room_is_soon_repeated(*, draining: bool) -> None:
    queue = SlowQueue(*(replace(ITEM, id=uuid4()) for _ in range(3)), most=1)
    queue.answers.set()
    all_at_work, ends = asyncio.Barrier(4), asyncio.Event()

    async def work(_: ClaimedSession) -> None:
        assert queue.claims == 1 or all_at_work.n_waiting  # the second claim waited for no item
        await all_at_work.wait()
        await ends.wait()

    loop = ClaimLoop(queue, work, slots=4, lease_seconds=60, shutdown_timeout_seconds=30)
    running = asyncio.create_task(loop.drain() if draining else loop.run())
    async with asyncio.timeout(10):
        await all_at_work.wait()
        ends.set()
        if not draining:
            loop.stop()
        await running


@pytest.mark.parametrize(
    ("slots", "moment", "draining", "claims"),
    [
        pytest.param(2, NEVER, False, 1, id="the claim just took all that was due"),
        pytest.param(2, 0.0, False, 2, id="something may have come since"),
        pytest.param(1, NEVER, False, 2, id="the claim filled the room"),
        pytest.param(2, NEVER, True, 2, id="draining ends when nothing is due"),
    ],
)
async def test_the_end_of_an_item_is_a_reason_to_claim_where_something_may_be_due(
    slots: int, moment: float, claims: int, monkeypatch: pytest.MonkeyPatch, *, draining: bool
) -> None:
    monkeypatch.setattr(claim_loop, "SHORT_CLAIM_SECONDS", moment)
    queue, ends = SlowQueue(ITEM), asyncio.Event()
    async with _running(queue, lambda _: ends.wait(), slots=slots, draining=draining):
        await _turns()
        before = queue.claims
        ends.set()
        await _turns()
        assert queue.claims - before == claims - 1


async def test_an_abandoned_item_that_was_withheld_is_claimed_when_the_one_before_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claim_loop, "SHORT_CLAIM_SECONDS", 0.01)
    queue, ends = SlowQueue(replace(ITEM, abandoned=True)), asyncio.Event()
    async with _running(queue, lambda _: ends.wait()):
        await _turns()
        monkeypatch.setattr(claim_loop, "SHORT_CLAIM_SECONDS", NEVER)  # after the second claim
        while queue.abandoned_wanted != [True, False]:
            await asyncio.sleep(0.01)
        ends.set()
        while queue.abandoned_wanted != [True, False, True]:
            await asyncio.sleep(0.01)


async def test_what_met_trouble_is_given_back_although_nothing_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claim_loop, "SHORT_CLAIM_SECONDS", NEVER)
    queue = SlowQueue(ITEM)

    async def work(_: ClaimedSession) -> None:
        await _turns()
        raise UnavailableError("It is away.")

    async with _running(queue, work):
        await queue.released.wait()


async def test_a_stop_waits_for_the_last_item_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claim_loop, "SHORT_CLAIM_SECONDS", NEVER)
    queue, ends = SlowQueue(ITEM), asyncio.Event()
    async with _running(queue, lambda _: ends.wait()) as (loop, running):
        await _turns()
        loop.stop()
        await _turns()
        ends.set()
        await running  # a second stop would hurry it


async def test_after_an_outage_other_workers_have_time_to_return_to_their_items() -> None:
    queue = SlowQueue()
    queue.away = 1
    queue.answers.set()
    loop = ClaimLoop(
        queue,
        _nothing,
        slots=1,
        lease_seconds=60,
        poll_seconds=0.05,
        shutdown_timeout_seconds=0,
        max_pause_seconds=1.0,
    )
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(10):
        while queue.abandoned_wanted[-1:] != [True] or queue.claims < 3:
            await asyncio.sleep(0.01)
        loop.stop()
        await running
    first, *returning, later = queue.abandoned_wanted
    assert (first, later) == (True, True)
    assert len(returning) > 2  # a probe, and some more until the others are back
    assert not any(returning)
