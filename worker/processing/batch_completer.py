"""Hands in what was read: at once when nothing else is on its way, otherwise several in a call.

With a backlog, a call for each session costs the database more than its two rows do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from worker.backend.metadata_service import MetadataService
from worker.backend.sessions import Completion, Finished
from worker.errors import UnavailableError

MAX_AT_ONCE = 16  # sessions in a call: with 64 KB of statistics each, it stays below 1 MB
LINGER = 0.1  # seconds that a finished session waits for others that are on their way

Answer = asyncio.Future[Completion]


class BatchCompleter:
    """Gathers finished sessions into calls."""

    def __init__(self, metadata: MetadataService) -> None:
        """Bind; nothing is sent yet."""
        self._metadata = metadata
        self._waiting: dict[Answer, Finished] = {}
        self._under_way = 0
        self._changed = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count a session that may soon be handed in, for as long as it is not."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._changed.set()

    async def complete(self, finished: Finished) -> Completion:
        """Hand in a session, and return what became of it.

        Raises:
            RejectedError: the database refused its values.
            UnavailableError: Supabase is in trouble; what became of it is not known.
        """
        answer: Answer = asyncio.get_running_loop().create_future()
        self._waiting[answer] = finished
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
            batch = dict(list(self._waiting.items())[:MAX_AT_ONCE])
            for answer in batch:
                del self._waiting[answer]
            for answer, outcome in zip(batch, await self._outcomes([*batch.values()]), strict=True):
                if answer.done():  # cancelled meanwhile
                    continue
                if isinstance(outcome, Exception):
                    answer.set_exception(outcome)
                else:
                    answer.set_result(outcome)

    async def _outcomes(self, batch: list[Finished]) -> Sequence[Completion | Exception]:
        """Complete a batch; if the call fails, each alone, so that one session blames no other."""
        try:
            return await self._metadata.complete_many(batch)
        except Exception as error:  # noqa: BLE001 - it is raised where each was handed in
            told_to_wait = isinstance(error, UnavailableError) and error.retry_after
            if len(batch) == 1 or told_to_wait:
                return [error] * len(batch)
        alone = await asyncio.gather(*(self._outcomes([each]) for each in batch))
        return [outcome for (outcome,) in alone]

    async def _gather(self) -> None:
        """Wait a moment for the sessions that are on their way."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LINGER
        while self._under_way and len(self._waiting) < MAX_AT_ONCE:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                return
