"""The state of the queue and the bucket at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from worker.backend.connection import Connection
from worker.backend.patients import AnothersUpload, Orphan, Patients
from worker.backend.queue_report import QueueReport, QueueReports, RefusedUpload, SessionError

STATES = ("pending", "processing", "completed", "failed", "skipped")
SHOWN = 5  # errors, and refused uploads
UPLOADS = "uploads_"  # how their numbers begin


@dataclass(frozen=True, slots=True)
class Status:
    """The state at one moment."""

    at: datetime
    queue: QueueReport
    errors: Sequence[SessionError]  # the newest first
    refused: Sequence[RefusedUpload]  # the newest first
    orphans: Sequence[Orphan]  # sessions without a patient, the newest first
    anothers: Sequence[AnothersUpload]  # uploads of another patient's bytes, the newest first

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
                name.removeprefix(UPLOADS): numbers.pop(name)
                for name in list(numbers)
                if name.startswith(UPLOADS)
            },
            **numbers,
            "sessions_a_minute": self.sessions_a_minute,
            "last_errors": [error_as_json(error) for error in self.errors],
            "last_refused": [asdict(upload) for upload in self.refused],
            "without_patient": [
                {**asdict(each), "session_id": str(each.session_id)} for each in self.orphans
            ],
            "of_another_patient": [asdict(upload) for upload in self.anothers],
        }


async def look(connection: Connection) -> Status:
    """Ask for everything.

    Raises:
        UnavailableError: Supabase is unavailable, or a migration is missing.
    """
    reports, patients = QueueReports(connection.supabase), Patients(connection.supabase)
    return Status(
        at=datetime.now(UTC),
        queue=await reports.queue(),
        errors=await reports.errors(SHOWN),
        refused=await reports.refused(SHOWN),
        orphans=await patients.orphans(SHOWN),
        anothers=await patients.anothers_uploads(SHOWN),
    )


def error_as_json(error: SessionError) -> dict[str, Any]:
    """Return a session that has an error as `status --json` prints it."""
    return {**asdict(error), "session_id": str(error.session_id)}
