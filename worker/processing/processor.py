"""Phase 2 for one session: download, check, read, complete. Or fail, with a reason."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar
from uuid import UUID

import structlog

from worker.backend.held_objects import HeldObjects, temporary_file
from worker.backend.metadata_service import MetadataService
from worker.backend.object_store import ObjectStore
from worker.backend.sessions import ClaimedSession, Completion, Failure, Finished
from worker.backoff import backoff
from worker.errors import (
    HashMismatchError,
    ObjectMissingError,
    PermanentError,
    RetryableError,
    RowRefusedError,
    SizeMismatchError,
    UnavailableError,
    UnexpectedError,
    WorkerError,
)
from worker.extraction.envelope import Envelope
from worker.extraction.isolation import Isolation
from worker.extraction.section import PREFIX_BYTES
from worker.observing import metrics
from worker.observing.logs import traceback_locations
from worker.processing.stopwatch import Stopwatch
from worker.queueing.batcher import Batcher
from worker.settings import Settings

MAX_REMEMBERED = 1000  # sessions whose rows refused to be completed
LOCK_RETRY, MAX_LOCK_RETRY = 1.0, 10.0  # seconds until a locked row is attempted again
LOCKED = Completion.LOCKED.value  # and of Failure
PREVIEW_SECONDS = 600.0  # that this worker has for the picture of a session before another may
INITIAL_RETRY, MAX_RETRY = 5.0, 600.0  # seconds until the next attempt at a session

Outcome = TypeVar("Outcome", Completion, Failure)

log = structlog.get_logger(__name__)


class Processor:
    """Carries one claimed session to its end."""

    def __init__(
        self,
        metadata: MetadataService,
        store: ObjectStore,
        isolation: Isolation,
        readers: Executor,
        settings: Settings,
        *,
        held: HeldObjects | None = None,
        draw: Callable[[UUID, Envelope], None] | None = None,
    ) -> None:
        """`settings` say how many sessions are read at once, and the limits of each.

        What is `held` is not downloaded from the `store` again. `draw` takes what a picture of a
        completed session needs, and returns at once.
        `readers` has as many threads, which wait for the children of `isolation`. The event loop's
        own would be too few, and it resolves names with them.
        """
        self._metadata = metadata
        self._store = store
        self._held = held or HeldObjects()
        self._draw = draw
        self._envelopes: dict[UUID, Envelope] = {}  # of sessions that are not completed yet
        self._isolation = isolation
        self._readers = readers
        self._settings = settings
        self._completer = Batcher(metadata.complete_many)
        self._refusals: Counter[UUID] = Counter()  # in a row
        self._slots = asyncio.Semaphore(settings.concurrency + 1)  # one for an abandoned session

    async def process(self, session: ClaimedSession) -> None:
        """Complete `session`, or record what is wrong with it.

        Raises:
            UnavailableError: no session is to blame; this one is untouched, to be released.
        """
        watch = Stopwatch()
        outcome: Completion | Failure
        code: str | None = None
        try:
            outcome = await self._complete(session, watch)
        except UnavailableError:
            self._envelopes.pop(session.id, None)
            raise
        except RowRefusedError as error:
            outcome, code = await self._give_back(session, error), error.code
        except PermanentError as error:
            outcome, code = await self._fail(session, error), error.code
        except RetryableError as error:
            outcome, code = await self._fail_for_now(session, error), error.code
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs one session
            log.error("unexpected", session=str(session.id), error=traceback_locations(error))
            what = f"The worker failed on {session.file_path} ({type(error).__name__})."
            outcome = await self._fail_for_now(session, UnexpectedError(what))
            code = UnexpectedError.code
        if code != RowRefusedError.code:
            self._refusals.pop(session.id, None)
        envelope = self._envelopes.pop(session.id, None)
        if self._draw and envelope and outcome is Completion.COMPLETED:
            self._draw(session.id, envelope)
        metrics.session_done(outcome, code, watch.steps)
        # The sentence is in the table; file names can name patients, so no log repeats it.
        log.info(
            "session_done",
            outcome=str(outcome),
            session=str(session.id),
            attempt=session.attempt,
            seconds=round(watch.seconds, 3),
            **{f"{step}_seconds": round(seconds, 3) for step, seconds in watch.steps.items()},
            **({"code": code} if code else {}),
        )

    async def _complete(self, session: ClaimedSession, watch: Stopwatch) -> Completion:
        # A slot is for the heavy part only: a session that waits to be completed delays nobody.
        with self._completer.expecting():
            async with self._slots:
                finished = await self._read_object_or_copy(session, watch)
        with watch.step("complete"):
            return await _unlocked(lambda: self._completer.end(finished))

    async def _read_object_or_copy(self, session: ClaimedSession, watch: Stopwatch) -> Finished:
        try:
            return await self._read(session, watch)
        except (ObjectMissingError, SizeMismatchError, HashMismatchError):
            copy = await self._metadata.find_copy(session, self._settings.c3d_bucket)
            if copy is None:
                raise
            log.info("copy_found", session=str(session.id))
            return await self._read(replace(session, object_path=copy), watch)

    async def _read(self, session: ClaimedSession, watch: Stopwatch) -> Finished:
        with self._held.taken(session.id, session.file_hash) as held:
            if held and session.hash_measured:
                return await self._extract(session, held, session.file_hash, watch)
        with temporary_file() as file:
            with watch.step("download"):
                fetch = self._start if self._start_is_enough(session) else self._download
                content_hash = await fetch(session, file)
            log.debug("downloaded", session=str(session.id))
            return await self._extract(session, file, content_hash, watch)

    async def _extract(
        self, session: ClaimedSession, file: BinaryIO, content_hash: str | None, watch: Stopwatch
    ) -> Finished:
        """Read a recording; only its start is there where the whole was not hashed."""
        # The child opens this process's file anew.
        path = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        whole = content_hash is not None
        with watch.step("read"):
            extracted = await asyncio.get_running_loop().run_in_executor(
                self._readers,
                partial(self._isolation.run, path, session.file_path, samples=whole),
            )
        log.debug("read", session=str(session.id))
        if drawn := self._draw is not None and extracted.envelope is not None:
            self._envelopes[session.id] = extracted.envelope
        return Finished(
            session,
            technical=extracted.technical,
            content_hash=content_hash,
            game=extracted.game,
            statistics=extracted.statistics or None,
            preview_after_seconds=PREVIEW_SECONDS if drawn else None,
        )

    def _start_is_enough(self, session: ClaimedSession) -> bool:
        """Whether less than the whole object is to be fetched.

        Not where the start is the whole, nor where nobody has measured the session's hash yet.
        """
        return (
            self._settings.read_mode == "header"
            and session.file_size_bytes > PREFIX_BYTES
            and session.hash_measured
        )

    async def _start(self, session: ClaimedSession, file: BinaryIO) -> None:
        """Fetch the metadata; the rest of the file is a hole, so that its length is right."""
        path, size = session.object_path, session.file_size_bytes
        await self._store.fetch_start(path, file, max_bytes=PREFIX_BYTES, size=size)
        file.truncate(size)

    async def _download(self, session: ClaimedSession, file: BinaryIO) -> str:
        """Fetch the object, hold its size and hash against the session's, return its hash."""
        measured = await self._store.fetch(
            session.object_path,
            file,
            size=session.file_size_bytes,
            max_bytes=self._settings.max_file_bytes,
        )
        # What another program wrote proves nothing; completing replaces it by the one measured.
        if session.hash_measured and session.file_hash != measured:
            raise HashMismatchError(
                f"{session.object_path} has the SHA-256 {measured}, "
                f"its session says {session.file_hash}."
            )
        return measured

    async def _give_back(self, session: ClaimedSession, error: RowRefusedError) -> Failure:
        """Put the session off, ever longer; the owner's rule spends none of its attempts."""
        if len(self._refusals) > MAX_REMEMBERED:
            self._refusals.clear()
        self._refusals[session.id] += 1
        times = self._refusals[session.id]
        seconds = backoff(times, initial=INITIAL_RETRY, maximum=MAX_RETRY)
        released = await self._metadata.release([session], error, delay_seconds=seconds)
        return Failure.PENDING if session.id in released else Failure.LOST

    async def _fail_for_now(self, session: ClaimedSession, error: WorkerError) -> Failure:
        """Spend an attempt; the last one ends as `failed`."""
        seconds = backoff(session.attempt, initial=INITIAL_RETRY, maximum=MAX_RETRY)
        return await self._fail(session, error, seconds)

    async def _fail(
        self, session: ClaimedSession, error: WorkerError, retry_seconds: float | None = None
    ) -> Failure:
        most = self._settings.max_attempts
        return await _unlocked(
            lambda: self._metadata.fail(
                session, error, max_attempts=most, retry_seconds=retry_seconds
            )
        )


async def _unlocked(end: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Call `end` until nobody else has locked the session's row; its lease is kept meanwhile."""
    locked = 0
    while (outcome := await end()).value == LOCKED:
        locked += 1
        await asyncio.sleep(backoff(locked, initial=LOCK_RETRY, maximum=MAX_LOCK_RETRY))
    return outcome
