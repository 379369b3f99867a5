"""Completes sessions in batches: one alone at once, of a backlog several in a call.

Measured on a backlog: without batches 147 sessions per second become 105 to 134, and 1.15 requests
per session become 1.87.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from worker.backend.metadata_service import MetadataService
from worker.backend.sessions import Completion, Finished
from worker.errors import UnavailableError

MAX_BATCH = 16  # sessions: with 64 KB of statistics each, a call stays below 1 MB
LINGER_SECONDS = 0.1  # that a session which was read waits for others that soon will be

Answer = asyncio.Future[Completion]


class BatchCompleter:
    """Gathers sessions that were read into calls."""

    def __init__(self, metadata: MetadataService) -> None:
        """`metadata` makes the calls."""
        self._metadata = metadata
        self._waiting: dict[Answer, Finished] = {}
        self._expected = 0
        self._changed = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Count a session that is being read and may soon be completed."""
        self._expected += 1
        try:
            yield
        finally:
            self._expected -= 1
            self._changed.set()

    async def complete(self, finished: Finished) -> Completion:
        """Complete a session, and return what became of it.

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

    async def _outcomes(self, batch: list[Finished]) -> Sequence[Completion | Exception]:
        """Complete a batch; if the call fails, each alone, so that one session blames no other."""
        try:
            return await self._metadata.complete_many(batch)
        except Exception as error:  # noqa: BLE001 - `complete` raises it, for each session
            told_to_wait = isinstance(error, UnavailableError) and error.retry_after
            if len(batch) == 1 or told_to_wait:
                return [error] * len(batch)
        alone = await asyncio.gather(*(self._outcomes([each]) for each in batch))
        return [outcome for (outcome,) in alone]

    async def _gather(self) -> None:
        """Wait a moment for the sessions that are being read."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LINGER_SECONDS
        while self._expected and len(self._waiting) < MAX_BATCH:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                return
