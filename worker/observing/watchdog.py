"""Whether the claim loop is alive: for /healthz and for the watchdog of systemd.

The loop itself feeds the watchdog, between its steps and while it waits. No timer does so in its
place, so both a step that hangs and a blocked event loop stop the feeding.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.observing.sd_notify import ALIVE, notify

FEED_SECONDS = 2.0  # between two feeds by a loop that waits
MAX_STEP_SECONDS = 30.0  # that the loop may wait for one answer from Supabase
MAX_SILENCE_SECONDS = 2 * MAX_STEP_SECONDS  # without a feed; then the loop counts as stuck
NOTIFY_SECONDS = 1.0  # between two notifications; a busy loop feeds far more often


class Watchdog:
    """Knows when the loop last fed it."""

    def __init__(
        self,
        max_silence_seconds: float = MAX_SILENCE_SECONDS,
        others_alive: Callable[[], bool] = lambda: True,
    ) -> None:
        """Count as fed now.

        Args:
            max_silence_seconds: without a feed for longer the loop is not alive.
            others_alive: whether the other loops are; while not, systemd is not notified.
        """
        self._max_silence_seconds = max_silence_seconds
        self._others_alive = others_alive
        self._fed = self._notified = time.monotonic()

    def feed(self) -> None:
        """Note that the loop is alive, and notify systemd. May be called at any rate."""
        self._fed = time.monotonic()
        if self._fed - self._notified >= NOTIFY_SECONDS and self._others_alive():
            self._notified = self._fed
            notify(ALIVE)

    @property
    def silence_seconds(self) -> float:
        """Seconds since the last feed."""
        return time.monotonic() - self._fed

    @property
    def alive(self) -> bool:
        """Whether the loop fed the watchdog within the allowed time."""
        return self.silence_seconds <= self._max_silence_seconds
