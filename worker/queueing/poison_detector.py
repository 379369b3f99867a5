"""Tells an outage, which is nobody's fault, from a session that is the trouble itself."""

from __future__ import annotations

from uuid import UUID

MAX_REMEMBERED = 1000  # sessions


class PoisonDetector:
    """Remembers which sessions meet trouble again while others get through."""

    def __init__(self) -> None:
        """Suspect no session."""
        self._successes = 0
        self._troubles: dict[UUID, tuple[int, int]] = {}  # how often, and the successes until then

    def record_success(self, session: UUID) -> None:
        """Note that a session came to its end, whatever end: Supabase answered every call."""
        self._troubles.pop(session, None)
        self.others_get_through()

    def others_get_through(self) -> None:
        """Note that what met trouble met it alone."""
        self._successes += 1

    def record_trouble(self, session: UUID) -> int:
        """Return how often the session met trouble after others had got through since its last."""
        if len(self._troubles) > MAX_REMEMBERED:
            self._troubles.clear()
        times, seen = self._troubles.get(session, (-1, -1))
        if seen != self._successes:
            times += 1
        self._troubles[session] = (times, self._successes)
        return times
