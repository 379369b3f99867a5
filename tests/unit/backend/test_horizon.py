"""Where the next claim begins."""

from __future__ import annotations

from worker.backend.horizon import of_sessions, of_uploads


def test_the_first_claim_looks_at_all() -> None:
    assert of_sessions().arguments() == {
        "waiting_since": "-infinity",
        "abandoned_since": "-infinity",
    }
    assert set(of_uploads().arguments().values()) == {"-infinity", "infinity"}


def test_a_claim_begins_where_the_last_answer_says_until_that_is_forgotten() -> None:
    horizon = of_sessions()
    horizon.move({"id": None, "next_waiting_since": "a", "next_abandoned_since": "b"})
    assert horizon.arguments() == {"waiting_since": "a", "abandoned_since": "b"}
    horizon.forget()
    assert horizon.arguments() == of_sessions().arguments()
