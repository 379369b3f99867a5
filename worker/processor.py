"""Phase 2 for one session: download, check, read, complete. Or fail, with a reason."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass

import structlog

from worker.backend.metadata_service import (
    ClaimedSession,
    Completion,
    Failure,
    MetadataService,
)
from worker.backend.object_store import Fetched, ObjectStore
from worker.backoff import backoff
from worker.errors import (
    HashMismatchError,
    PermanentError,
    RetryableError,
    UnavailableError,
    UnexpectedError,
    WorkerError,
)
from worker.extraction.metadata import PREFIX_BYTES, TechnicalMetadata, read_metadata

SHA256 = re.compile(r"[0-9a-fA-F]{64}")
FIRST_RETRY, LONGEST_RETRY = 5.0, 600.0  # seconds until a session is tried again

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Processor:
    """Carries one claimed session to its end."""

    metadata: MetadataService
    store: ObjectStore
    max_attempts: int
    most_bytes: int

    async def process(self, session: ClaimedSession) -> None:
        """Complete `session`, or record what is wrong with it.

        Raises:
            UnavailableError: Supabase is in trouble; the session is untouched, to be released.
        """
        started = time.monotonic()
        outcome: Completion | Failure
        code: str | None = None
        try:
            fetched = await self._fetch(session)
            log.debug("downloaded", session=str(session.id), bytes=fetched.size)
            technical = await asyncio.to_thread(read_metadata, fetched.prefix, fetched.size)
            log.debug("read", session=str(session.id), channels=technical.channel_count)
            outcome = await self._complete(session, fetched, technical)
        except UnavailableError:
            raise
        except PermanentError as error:
            outcome, code = await self._fail(session, error), error.code
        except RetryableError as error:
            outcome, code = await self._fail_for_now(session, error), error.code
        except Exception as error:
            log.exception("unexpected", session=str(session.id))
            what = f"The worker failed on {session.file_path} ({type(error).__name__})."
            outcome = await self._fail_for_now(session, UnexpectedError(what))
            code = UnexpectedError.code
        # The sentence is in the table; file names can name patients, so no log repeats it.
        log.info(
            "session_done",
            outcome=str(outcome),
            session=str(session.id),
            attempt=session.attempt,
            seconds=round(time.monotonic() - started, 3),
            **({"code": code} if code else {}),
        )

    async def _fetch(self, session: ClaimedSession) -> Fetched:
        """Download the object and hold its size and hash against the session's."""
        fetched = await self.store.fetch(
            session.file_path,
            size=session.file_size_bytes,
            most_bytes=self.most_bytes,
            prefix_bytes=PREFIX_BYTES,
        )
        # A legacy hash of something else than the content cannot be checked; completing
        # replaces it by the one measured.
        claimed = session.file_hash
        if SHA256.fullmatch(claimed) and claimed.lower() != fetched.sha256:
            raise HashMismatchError(
                f"{session.file_path} has the SHA-256 {fetched.sha256}, its session says {claimed}."
            )
        return fetched

    async def _complete(
        self, session: ClaimedSession, fetched: Fetched, technical: TechnicalMetadata
    ) -> Completion:
        return await self.metadata.complete(
            session,
            technical=technical.row(),
            content_hash=fetched.sha256,
            game=technical.game,
        )

    async def _fail(self, session: ClaimedSession, error: WorkerError) -> Failure:
        return await self.metadata.fail(session, error, max_attempts=self.max_attempts)

    async def _fail_for_now(self, session: ClaimedSession, error: WorkerError) -> Failure:
        """Spend an attempt; the last one ends as `failed`."""
        seconds = backoff(session.attempt, first=FIRST_RETRY, most=LONGEST_RETRY)
        return await self.metadata.fail(
            session, error, max_attempts=self.max_attempts, retry_seconds=seconds
        )
