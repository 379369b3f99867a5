"""The demo tells what the worker's log says, and no more."""

from __future__ import annotations

import pytest

from worker.commands.demo import step_of


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("completed", "technical row written, session completed"),
        ("failed", "session failed, no technical row: session_overview says why"),
    ],
)
def test_a_technical_row_is_written_only_where_the_session_is_completed(
    outcome: str, said: str
) -> None:
    assert step_of({"event": "session_done", "outcome": outcome}) == said
