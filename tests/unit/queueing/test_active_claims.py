"""How many items are claimed before a slot is free for them."""

from __future__ import annotations

from worker.backend.sessions import ClaimedSession
from worker.queueing.active_claims import ActiveClaims

SLOTS = 4


def test_quick_items_are_claimed_ahead_and_no_more_than_the_queue_wants() -> None:
    claims = ActiveClaims[ClaimedSession](SLOTS, lambda: None, max_ahead=2)
    rooms = []
    for _ in range(3 * SLOTS):
        rooms.append(claims.room(probing=False))
        claims.record_success()
    assert rooms == [SLOTS + ended for ended in range(2 * SLOTS)] + [3 * SLOTS] * SLOTS
