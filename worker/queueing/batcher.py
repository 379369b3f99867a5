"""Ends items in batches: one alone at once, of a backlog several in a call.

Measured on a backlog of sessions: without batches 147 a second become 105 to 134, and 1.15 requests
per session become 1.87.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from worker.errors import UnavailableError, WorkerError

MAX_BATCH = 16  # items: with 64 KB of statistics for each session, a call stays below 1 MB
LINGER_SECONDS = 0.1  # that an item which is ready waits for others that soon will be

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Batcher(Generic[Item, Outcome]):
    """Gathers items that are ready into calls."""

    def __init__(
        self,
        call: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome | WorkerError]]],
        *,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        """`call` returns the outcome of each item, in their order, or the error that is its own."""
        self._call = call
        self._linger_seconds = linger_seconds
        self._waiting: dict[asyncio.Future[Outcome], Item] = {}
        self._expected = 0
        self._changed = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Count an item that may soon be ready."""
        self._expected += 1
        try:
            yield
        finally:
            self._expected -= 1
            self._changed.set()

    async def end(self, item: Item) -> Outcome:
        """Send an item, alone or with others, and return what became of it.

        Raises:
            WorkerError: its own, as `call` returned it.
            UnavailableError: Supabase is in trouble; what became of it is not known.
        """
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[answer] = item
        self._changed.set()
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        try:
            return await answer
        finally:
            self._waiting.pop(answer, None)  # cancelled before it was sent

    async def _send(self) -> None:
        while self._waiting:
            await self._gather()
            batch = dict(list(self._waiting.items())[:MAX_BATCH])
            for answer in batch:
                del self._waiting[answer]
            for answer, outcome in zip(batch, await self._outcomes([*batch.values()]), strict=True):
                if answer.done():  # cancelled meanwhile
                    continue
                if isinstance(outcome, Exception):
                    answer.set_exception(outcome)
                else:
                    answer.set_result(outcome)

    async def _outcomes(self, batch: list[Item]) -> Sequence[Outcome | Exception]:
        """Send a batch; if the call fails, each alone, so that one item blames no other."""
        try:
            return await self._call(batch)
        except Exception as error:  # noqa: BLE001 - `end` raises it, for each item
            told_to_wait = isinstance(error, UnavailableError) and error.retry_after
            if len(batch) == 1 or told_to_wait:
                return [error] * len(batch)
        alone = await asyncio.gather(*(self._outcomes([each]) for each in batch))
        return [outcome for (outcome,) in alone]

    async def _gather(self) -> None:
        """Wait a moment for the items that are expected."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._linger_seconds
        while self._expected and len(self._waiting) < MAX_BATCH:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                return
