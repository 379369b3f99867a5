"""The door to what the database counts: the state of the queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from supabase import AsyncClient

from worker.backend import rest
from worker.errors import UnavailableError

STATUSES = ("pending", "processing", "completed", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class QueueReport:
    """How the queue is, in one snapshot."""

    by_status: Mapping[str, int]
    failed_by_code: Mapping[str, int]
    due: int  # sessions that wait and are not put off
    stuck: int  # in a hand whose lease ran out
    longest_due_seconds: float | None  # of the session that is due the longest; None: none is


class ReportService:
    """Asks how the queue is."""

    def __init__(self, supabase: AsyncClient) -> None:
        """Bind to a client; nothing is sent yet."""
        self._supabase = supabase

    async def queue(self) -> QueueReport:
        """Count the queue.

        Raises:
            MigrationMissingError: the function that counts is not there.
            UnavailableError: Supabase is in trouble, or counts something else.
        """
        try:
            (row,) = await rest.rows(self._supabase.rpc("queue_report", {}))
            return QueueReport(
                by_status={status: int(row[status]) for status in STATUSES},
                failed_by_code={code: int(n) for code, n in row["failed_by_code"].items()},
                due=int(row["due"]),
                stuck=int(row["stuck"]),
                longest_due_seconds=row["longest_due_seconds"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnavailableError(
                f"The queue's report is not what it should be ({type(error).__name__})."
            ) from error
