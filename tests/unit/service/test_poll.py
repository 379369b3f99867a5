"""The poll looks every so often, and sooner where something will be due by then."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from worker.backend.queue_look import QueueLook, QueueLooks
from worker.backend.upload_queue import UploadQueue
from worker.intake.reconciliation import Reconciliation
from worker.service.poll import MIN_SECONDS, Poll

POLL_SECONDS = 30.0
IDLE = QueueLook(
    sessions_due=False,
    uploads_due=False,
    next_due_seconds=None,
    announcing=True,
    last_missed=None,
    patients_awaited=False,
)


class Looks:
    """Always sees the same."""

    def __init__(self, look: QueueLook) -> None:
        self._look = look

    async def look(self) -> QueueLook:
        return self._look


def _nothing() -> None:
    """Wake nobody."""


@pytest.mark.parametrize(
    ("due", "seconds"),
    [(None, POLL_SECONDS), (0.01, MIN_SECONDS), (12.5, 12.5), (600.0, POLL_SECONDS)],
)
async def test_the_next_look_comes_when_something_is_due(due: float | None, seconds: float) -> None:
    poll = Poll(
        cast("QueueLooks", Looks(replace(IDLE, next_due_seconds=due))),
        Reconciliation(cast("UploadQueue", None), _nothing, every_seconds=0),
        wake_sessions=_nothing,
        wake_intake=_nothing,
        stop=_nothing,
        seconds=POLL_SECONDS,
    )
    assert await poll.look() == seconds
