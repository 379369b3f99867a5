"""Finished sessions travel together when there are several, and alone without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest

from worker.backend.metadata_service import MetadataService
from worker.backend.sessions import ClaimedSession, Completion, Finished
from worker.errors import RejectedError, UnavailableError, WorkerError
from worker.queueing.batcher import LINGER_SECONDS, MAX_BATCH, Batcher


class Calls(MetadataService):
    """Counts what each call completes, and answers as it is told."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.trouble: Exception | None = None
        self.rejected: set[ClaimedSession] = set()
        self.poison: set[ClaimedSession] = set()

    async def complete_many(self, finished: Sequence[Finished]) -> list[Completion | WorkerError]:
        self.sizes.append(len(finished))
        await asyncio.sleep(0.01)
        if self.trouble:
            raise self.trouble
        if any(each.session in self.poison for each in finished):
            raise UnavailableError("A trigger raised.")
        return [
            RejectedError("No.") if each.session in self.rejected else Completion.COMPLETED
            for each in finished
        ]


def finished() -> Finished:
    session = ClaimedSession(
        id=uuid4(),
        claim=uuid4(),
        file_path="P005/a.c3d",
        object_path="P005/a.c3d",
        file_hash="0" * 64,
        hash_measured=True,
        file_size_bytes=1000,
        attempt=1,
        abandoned=False,
    )
    return Finished(session, {}, "0" * 64, {})


async def test_one_alone_is_sent_at_once() -> None:
    calls = Calls()
    completer = Batcher(calls.complete_many)
    async with asyncio.timeout(LINGER_SECONDS / 2):
        assert await completer.end(finished()) is Completion.COMPLETED
    assert calls.sizes == [1]


async def test_one_waits_for_those_expecting_but_not_for_long() -> None:
    calls = Calls()
    completer = Batcher(calls.complete_many)
    with completer.expecting():
        first = asyncio.create_task(completer.end(finished()))
        await asyncio.sleep(LINGER_SECONDS / 4)
        second = asyncio.create_task(completer.end(finished()))
        await asyncio.sleep(LINGER_SECONDS / 4)
        assert calls.sizes == []
        await asyncio.gather(first, second)  # although one is still under way
    assert calls.sizes == [2]


async def test_the_last_one_expecting_ends_the_waiting() -> None:
    calls = Calls()
    completer = Batcher(calls.complete_many)
    with completer.expecting():
        first = asyncio.create_task(completer.end(finished()))
        await asyncio.sleep(0)
    async with asyncio.timeout(LINGER_SECONDS / 2):
        await first


async def test_a_queue_may_have_its_items_wait_for_no_others() -> None:
    calls = Calls()
    completer = Batcher(calls.complete_many, linger_seconds=0)
    with completer.expecting():
        async with asyncio.timeout(LINGER_SECONDS / 2):
            await completer.end(finished())
    assert calls.sizes == [1]


async def test_a_call_carries_no_more_than_its_most() -> None:
    calls = Calls()
    completer = Batcher(calls.complete_many)
    many = [completer.end(finished()) for _ in range(2 * MAX_BATCH + 1)]
    assert set(await asyncio.gather(*many)) == {Completion.COMPLETED}
    assert calls.sizes == [MAX_BATCH, MAX_BATCH, 1]


async def test_one_that_is_rejected_costs_no_other() -> None:
    calls = Calls()
    completer = Batcher(calls.complete_many)
    bad, good = finished(), finished()
    calls.rejected.add(bad.session)
    outcomes = await asyncio.gather(completer.end(bad), completer.end(good), return_exceptions=True)
    assert isinstance(outcomes[0], RejectedError)
    assert outcomes[1] is Completion.COMPLETED


async def test_trouble_is_everybodys_and_the_next_call_is_made() -> None:
    calls = Calls()
    completer = Batcher(calls.complete_many)
    calls.trouble = UnavailableError("Away.")
    outcomes = await asyncio.gather(
        *(completer.end(finished()) for _ in range(3)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {UnavailableError}
    calls.trouble = None
    assert await completer.end(finished()) is Completion.COMPLETED


async def test_one_that_fails_its_call_blames_no_other() -> None:
    calls = Calls()
    completer = Batcher(calls.complete_many)
    bad, *good = [finished() for _ in range(5)]
    calls.poison.add(bad.session)
    outcomes = await asyncio.gather(
        *(completer.end(each) for each in (bad, *good)), return_exceptions=True
    )
    assert isinstance(outcomes[0], UnavailableError)
    assert outcomes[1:] == [Completion.COMPLETED] * 4


async def test_who_is_told_to_wait_asks_no_more() -> None:
    calls = Calls()
    completer = Batcher(calls.complete_many)
    calls.trouble = UnavailableError("Slow down.", retry_after=5.0)
    await asyncio.gather(*(completer.end(finished()) for _ in range(3)), return_exceptions=True)
    assert calls.sizes == [3]


async def test_one_that_is_cancelled_is_not_sent() -> None:
    calls = Calls()
    completer = Batcher(calls.complete_many)
    with completer.expecting():
        dropped = asyncio.create_task(completer.end(finished()))
        kept = asyncio.create_task(completer.end(finished()))
        await asyncio.sleep(0)
        dropped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dropped
    assert await kept is Completion.COMPLETED
    assert calls.sizes == [1]
