"""Phase 2 for one session: download, check, read, complete. Or fail, with a reason."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog

from worker import metrics
from worker.backend.metadata_service import (
    ClaimedSession,
    Completion,
    Failure,
    MetadataService,
)
from worker.backend.object_store import ObjectStore
from worker.backoff import backoff
from worker.errors import (
    DiskFullError,
    HashMismatchError,
    PermanentError,
    RetryableError,
    UnavailableError,
    UnexpectedError,
    WorkerError,
)
from worker.extraction.isolation import Isolation
from worker.stopwatch import Stopwatch
from worker.telemetry import whereabouts

SHA256 = re.compile(r"[0-9a-fA-F]{64}")
FIRST_RETRY, LONGEST_RETRY = 5.0, 600.0  # seconds until a session is tried again

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Processor:
    """Carries one claimed session to its end."""

    metadata: MetadataService
    store: ObjectStore
    isolation: Isolation
    max_attempts: int
    most_bytes: int

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
            raise
        except PermanentError as error:
            outcome, code = await self._fail(session, error), error.code
        except RetryableError as error:
            outcome, code = await self._fail_for_now(session, error), error.code
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs one session
            log.error("unexpected", session=str(session.id), error=whereabouts(error))  # noqa: TRY400
            what = f"The worker failed on {session.file_path} ({type(error).__name__})."
            outcome = await self._fail_for_now(session, UnexpectedError(what))
            code = UnexpectedError.code
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
        with _temporary_file() as file:
            with watch.step("download"):
                content_hash = await self._download(session, file)
            log.debug("downloaded", session=str(session.id))
            # The child opens this process's file anew.
            path = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
            with watch.step("read"):
                extracted = await asyncio.to_thread(self.isolation.run, path, session.file_path)
            log.debug("read", session=str(session.id))
        with watch.step("complete"):
            return await self.metadata.complete(
                session,
                technical=extracted.technical,
                content_hash=content_hash,
                game=extracted.game,
                statistics=extracted.statistics,
            )

    async def _download(self, session: ClaimedSession, file: BinaryIO) -> str:
        """Fetch the object, hold its size and hash against the session's, return its hash."""
        measured = await self.store.fetch(
            session.file_path, file, size=session.file_size_bytes, most_bytes=self.most_bytes
        )
        # A legacy hash of something else than the content cannot be checked; completing
        # replaces it by the one measured.
        claimed = session.file_hash
        if SHA256.fullmatch(claimed) and claimed.lower() != measured:
            raise HashMismatchError(
                f"{session.file_path} has the SHA-256 {measured}, its session says {claimed}."
            )
        return measured

    async def _fail(self, session: ClaimedSession, error: WorkerError) -> Failure:
        return await self.metadata.fail(session, error, max_attempts=self.max_attempts)

    async def _fail_for_now(self, session: ClaimedSession, error: WorkerError) -> Failure:
        """Spend an attempt; the last one ends as `failed`."""
        seconds = backoff(session.attempt, first=FIRST_RETRY, most=LONGEST_RETRY)
        return await self.metadata.fail(
            session, error, max_attempts=self.max_attempts, retry_seconds=seconds
        )


def _temporary_file() -> BinaryIO:
    """Open a file without a name: a recording is gone with the worker even when it is killed."""
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise DiskFullError(f"No temporary file can be made ({error.strerror}).") from error
