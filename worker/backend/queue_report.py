"""The door to the queue's numbers, and to what went wrong last."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from supabase import AsyncClient

from worker.backend import rest
from worker.backend.metadata_service import SESSIONS
from worker.backend.queued_uploads import Outcome
from worker.backend.upload_queue import INTAKE
from worker.errors import UnavailableError

STATUSES = ("pending", "processing", "completed", "failed", "skipped")
OUTCOMES = (Outcome.WAITING, Outcome.TAKING, Outcome.REFUSED, Outcome.DUPLICATE)
PAGE = 500  # rows a request; PostgREST gives 1,000 at most
ERROR_COLUMNS = (
    "id",
    "original_filename",
    "file_path",
    "processing_status",
    "processing_attempts",
    "processing_error",
    "updated_at",
)
# Failed, or waiting for another attempt; one that was requeued has no attempt yet.
WENT_WRONG = (
    "processing_status.eq.failed,and(processing_status.eq.pending,processing_attempts.gt.0)"
)


@dataclass(frozen=True, slots=True)
class QueueReport:
    """One look at the whole queue; the fields are `queue_report()`'s columns."""

    pending: int
    processing: int
    completed: int
    failed: int
    skipped: int
    due: int  # waiting, and not put off
    stuck: int  # their worker stopped
    set_aside: int  # their rows refuse to be changed
    oldest_due_age_seconds: float | None  # since it could first have been read; None: none is due
    completed_in_10_minutes: int
    failed_by_code: Mapping[str, int]
    uploads_waiting: int
    uploads_due: int  # waiting, and not put off
    uploads_taking: int
    uploads_refused: int
    uploads_duplicate: int
    uploads_oldest_age_seconds: float | None  # of those without an outcome; None: there are none
    uploads_waiting_by_code: Mapping[str, int]  # put off, by what they wait for
    uploads_refused_by_code: Mapping[str, int]
    estimated: Sequence[str]  # the numbers that are about right: too many to count

    @property
    def by_outcome(self) -> Mapping[str, int]:
        """Uploads of each outcome that somebody may wait for."""
        return {name: getattr(self, f"uploads_{name}") for name in OUTCOMES}

    @property
    def by_status(self) -> Mapping[str, int]:
        """Sessions of each status, those without any included."""
        return {status: getattr(self, status) for status in STATUSES}


@dataclass(frozen=True, slots=True)
class SessionError:
    """A session that went wrong."""

    session_id: UUID
    file: str  # the name it was uploaded under
    file_path: str
    status: str  # failed, or pending: there is a next attempt
    attempts: int
    error: str | None  # "code: sentence"; None: another program set it to failed
    at: str | None  # when the row last changed, ISO 8601


@dataclass(frozen=True, slots=True)
class RefusedUpload:
    """An upload that has no session."""

    file_path: str
    detail: str | None  # "code: sentence"
    at: str  # ISO 8601


class QueueReports:
    """Asks how the queue is; changes nothing."""

    def __init__(self, supabase: AsyncClient) -> None:
        """Bind to a client; nothing is sent yet."""
        self._supabase = supabase

    async def present(self) -> bool:
        """Ask for next to nothing; raises as `queue`."""
        await rest.rows(self._supabase.table(SESSIONS).select("id").limit(1))
        return True

    async def queue(self) -> QueueReport:
        """Count everything in one call.

        Raises:
            UnavailableError: Supabase is in trouble, or the migration is missing.
        """
        found = await rest.rows(self._supabase.rpc("queue_report", {}))
        try:
            (row,) = found
            return QueueReport(**{field.name: row[field.name] for field in fields(QueueReport)})
        except (KeyError, ValueError) as error:
            raise UnavailableError("Supabase answered another report than the queue's.") from error

    async def errors(self, most: int) -> list[SessionError]:
        """What went wrong last, the newest first: failed, or waiting for another attempt."""
        query = self._supabase.table(SESSIONS).select(*ERROR_COLUMNS).or_(WENT_WRONG)
        query = query.not_.is_("processing_error", "null")
        query = query.order("updated_at", desc=True, nullsfirst=False).order("id", desc=True)
        return [_error(row) for row in await rest.rows(query.limit(most))]

    async def failed(self, most: int) -> AsyncIterator[SessionError]:
        """Yield failed sessions, the newest first, page by page.

        Each page begins behind the last row of the page before, so that what fails or is
        requeued meanwhile moves no row from one page to the next.
        """
        last: SessionError | None = None
        while most > 0:
            query = self._supabase.table(SESSIONS).select(*ERROR_COLUMNS)
            query = query.eq("processing_status", "failed")
            if last:
                query = query.or_(_behind(last))
            query = query.order("updated_at", desc=True, nullsfirst=False).order("id", desc=True)
            page = [_error(row) for row in await rest.rows(query.limit(min(most, PAGE)))]
            for session in page:
                yield session
            if len(page) < PAGE:
                return
            most, last = most - len(page), page[-1]

    async def refused(self, most: int) -> list[RefusedUpload]:
        """The uploads that were refused last, the newest first."""
        query = self._supabase.table(INTAKE).select("object_path", "detail", "taken_at")
        query = query.eq("outcome", Outcome.REFUSED).order("taken_at", desc=True).limit(most)
        return [
            RefusedUpload(row["object_path"], row["detail"], row["taken_at"])
            for row in await rest.rows(query)
        ]


def _behind(last: SessionError) -> str:
    """The filter of what comes after a session, the times that nobody knows at the end."""
    same_time = f"id.lt.{last.session_id}"
    if last.at is None:
        return f"and(updated_at.is.null,{same_time})"
    at = f'"{last.at}"'
    return f"updated_at.lt.{at},and(updated_at.eq.{at},{same_time}),updated_at.is.null"


def _error(row: Mapping[str, Any]) -> SessionError:
    return SessionError(
        session_id=UUID(row["id"]),
        file=row["original_filename"],
        file_path=row["file_path"],
        status=row["processing_status"],
        attempts=row["processing_attempts"],
        error=row["processing_error"],
        at=row["updated_at"],
    )
