"""Tells an outage, which is nobody's fault, from a session that is the trouble itself."""

from __future__ import annotations

from uuid import UUID

MAX_REMEMBERED = 1000  # sessions remembered


class PoisonDetector:
    """Remembers which sessions meet trouble again while others get through."""

    def __init__(self) -> None:
        """Suspect nobody."""
        self._got_through = 0
        self._met: dict[UUID, tuple[int, int]] = {}

    def record_success(self, session: UUID) -> None:
        """Note that a session came to its end, whatever end: all doors were open."""
        self._got_through += 1
        self._met.pop(session, None)

    def record_trouble(self, session: UUID) -> int:
        """Count how often the session met trouble after others had got through since its last."""
        if len(self._met) > MAX_REMEMBERED:
            self._met.clear()
        times, seen = self._met.get(session, (-1, -1))
        if seen != self._got_through:
            times += 1
        self._met[session] = (times, self._got_through)
        return times
