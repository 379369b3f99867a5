"""Whether the claim loop turns: for /healthz and for the watchdog of systemd.

The loop itself feeds the watchdog, between the steps of a turn and while it waits. No timer does
so in its place, so a turn that hangs and an event loop that stands still both fall silent.
"""

from __future__ import annotations

import time

from worker.observing.sd_notify import ALIVE, notify

FEED_SECONDS = 2.0  # between two feeds of a loop that waits
MAX_STEP_SECONDS = 30.0  # that a loop may wait for one answer of Supabase
MAX_SILENCE_SECONDS = 2 * MAX_STEP_SECONDS  # beyond these something is stuck
NOTIFY_SECONDS = 1.0  # between two notifications; a busy loop turns far more often


class Watchdog:
    """Knows when the loop last fed it."""

    def __init__(self, max_silence_seconds: float = MAX_SILENCE_SECONDS) -> None:
        """Begin now; after `max_silence_seconds` without a feed the loop counts as stuck."""
        self._max_silence_seconds = max_silence_seconds
        self._fed = self._notified = time.monotonic()

    def feed(self) -> None:
        """Note that the loop turns, and tell systemd. May be called at any rate."""
        self._fed = time.monotonic()
        if self._fed - self._notified >= NOTIFY_SECONDS:
            self._notified = self._fed
            notify(ALIVE)

    @property
    def silence_seconds(self) -> float:
        """Seconds since the last feed."""
        return time.monotonic() - self._fed

    @property
    def alive(self) -> bool:
        """Whether the loop has fed the watchdog lately."""
        return self.silence_seconds <= self._max_silence_seconds
