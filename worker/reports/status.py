"""The state of the queue and the bucket at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from worker.backend.connection import Connection
from worker.backend.intake_register import IntakeBacklog
from worker.backend.queue_report import QueueReport, QueueReports, RefusedUpload, SessionError
from worker.intake.factory import make_intake
from worker.settings import Settings

STATES = ("pending", "processing", "completed", "failed", "skipped")
SHOWN = 5  # errors, and as many refused uploads


@dataclass(frozen=True, slots=True)
class Status:
    """The state at one moment."""

    at: datetime
    queue: QueueReport
    left: IntakeBacklog  # objects of the bucket without an outcome
    errors: Sequence[SessionError]  # the newest first
    refused: Sequence[RefusedUpload]  # the newest first

    @property
    def sessions_a_minute(self) -> float:
        """Completed sessions per minute, over the last ten minutes."""
        return self.queue.completed_in_10_minutes / 10

    def as_json(self) -> dict[str, Any]:
        """Return the object that `status --json` prints."""
        numbers = asdict(self.queue)
        return {
            "at": self.at.isoformat(timespec="seconds"),
            "sessions": {state: numbers.pop(state) for state in STATES},
            "uploads": {
                "waiting": self.left.waiting,
                "held": self.left.held,
                "refused": numbers.pop("uploads_refused"),
                "duplicate": numbers.pop("uploads_duplicate"),
            },
            **numbers,
            "sessions_a_minute": self.sessions_a_minute,
            "last_errors": [error_as_json(error) for error in self.errors],
            "last_refused": [asdict(upload) for upload in self.refused],
        }


async def look(connection: Connection, settings: Settings) -> Status:
    """Query the queue, the register of uploads and the last errors.

    Raises:
        UnavailableError: Supabase is unavailable, or a migration is missing.
    """
    reports = QueueReports(connection.supabase)
    return Status(
        at=datetime.now(UTC),
        queue=await reports.queue(),
        left=await make_intake(connection, settings).register.left(),
        errors=await reports.errors(SHOWN),
        refused=await reports.refused(SHOWN),
    )


def error_as_json(error: SessionError) -> dict[str, Any]:
    """Return a session that has an error as `status --json` prints it."""
    return {**asdict(error), "session_id": str(error.session_id)}
