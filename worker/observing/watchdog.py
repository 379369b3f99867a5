"""Whether the claim loop turns: its pulse, for /healthz and for the watchdog of systemd.

The loop itself beats, between the steps of a turn and while it healthily waits. No timer does it
in its place, so a turn that hangs and an event loop that stands still both fall silent.
"""

from __future__ import annotations

import time

from worker.observing.sd_notify import ALIVE, notify

EVERY = 2.0  # seconds between two beats of a loop that waits
LONGEST_STEP = 30.0  # seconds that a loop may wait for one answer of Supabase
LONGEST_SILENCE = 2 * LONGEST_STEP  # seconds; beyond these something is stuck
NOTIFY_EVERY = 1.0  # seconds; a busy loop turns far more often


class Heartbeat:
    """When the loop last beat."""

    def __init__(self, longest_silence: float = LONGEST_SILENCE) -> None:
        """Begin now; after `longest_silence` seconds without a beat the loop counts as stuck."""
        self._longest_silence = longest_silence
        self._beaten = self._notified = time.monotonic()

    def beat(self) -> None:
        """Note that the loop turns, and tell the watchdog. May be called at any rate."""
        self._beaten = time.monotonic()
        if self._beaten - self._notified >= NOTIFY_EVERY:
            self._notified = self._beaten
            notify(ALIVE)

    @property
    def silence(self) -> float:
        """Seconds since the last beat."""
        return time.monotonic() - self._beaten

    @property
    def steady(self) -> bool:
        """Whether the loop beat lately."""
        return self.silence <= self._longest_silence
