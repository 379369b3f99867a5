"""What a look at the queues says, for tests of who hears it."""

from __future__ import annotations

from worker.backend.queue_look import QueueLook


def look(
    *, announcing: bool = True, missed: int | None = None, next_due: float | None = None
) -> QueueLook:
    """Nothing is due."""
    return QueueLook(
        sessions_due=False,
        uploads_due=False,
        next_due_seconds=next_due,
        announcing=announcing,
        last_missed=missed,
        patients_awaited=False,
    )
