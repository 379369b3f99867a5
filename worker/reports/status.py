"""How the queue and the bucket are, in one look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from worker.backend.connection import Connection
from worker.backend.queue_report import QueueReport, QueueReports, RefusedUpload, SessionError

STATES = ("pending", "processing", "completed", "failed", "skipped")
SHOWN = 5  # errors, and refused uploads
UPLOADS = "uploads_"  # how their numbers begin


@dataclass(frozen=True, slots=True)
class Status:
    """One look."""

    at: datetime
    queue: QueueReport
    errors: Sequence[SessionError]  # the newest first
    refused: Sequence[RefusedUpload]  # the newest first

    @property
    def sessions_a_minute(self) -> float:
        """Over the last ten minutes."""
        return self.queue.completed_in_10_minutes / 10

    def as_json(self) -> dict[str, Any]:
        """The look for programs."""
        numbers = asdict(self.queue)
        return {
            "at": self.at.isoformat(timespec="seconds"),
            "sessions": {state: numbers.pop(state) for state in STATES},
            "uploads": {
                name.removeprefix(UPLOADS): numbers.pop(name)
                for name in list(numbers)
                if name.startswith(UPLOADS)
            },
            **numbers,
            "sessions_a_minute": self.sessions_a_minute,
            "last_errors": [error_as_json(error) for error in self.errors],
            "last_refused": [asdict(upload) for upload in self.refused],
        }


async def look(connection: Connection) -> Status:
    """Ask for everything.

    Raises:
        UnavailableError: Supabase is in trouble, or something of this project is missing there.
    """
    reports = QueueReports(connection.supabase)
    return Status(
        at=datetime.now(UTC),
        queue=await reports.queue(),
        errors=await reports.errors(SHOWN),
        refused=await reports.refused(SHOWN),
    )


def error_as_json(error: SessionError) -> dict[str, Any]:
    """A session that went wrong, for programs."""
    return {**asdict(error), "session_id": str(error.session_id)}
