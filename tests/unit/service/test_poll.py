"""The poll looks every so often, and sooner where something will be due by then."""

from __future__ import annotations

from typing import cast

import pytest

from tests.queue_looks import look
from worker.backend.queue_look import QueueLook, QueueLooks
from worker.backend.upload_queue import UploadQueue
from worker.intake.reconciliation import Reconciliation
from worker.service.poll import MIN_SECONDS, Poll

POLL_SECONDS = 30.0


class Looks:
    """Always sees the same."""

    def __init__(self, seen: QueueLook) -> None:
        self._seen = seen

    async def look(self) -> QueueLook:
        return self._seen


def _nothing() -> None:
    """Wake nobody."""


@pytest.mark.parametrize(
    ("due", "seconds"),
    [(None, POLL_SECONDS), (0.01, MIN_SECONDS), (12.5, 12.5), (600.0, POLL_SECONDS)],
)
async def test_the_next_look_comes_when_something_is_due(due: float | None, seconds: float) -> None:
    poll = Poll(
        cast("QueueLooks", Looks(look(next_due=due))),
        Reconciliation(cast("UploadQueue", None), _nothing, every_seconds=0),
        wake_sessions=_nothing,
        wake_intake=_nothing,
        stop=_nothing,
        seconds=POLL_SECONDS,
    )
    assert await poll.look() == seconds
