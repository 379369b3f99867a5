"""How long a piece of work takes, and each of its steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Runs from its making; `steps` has the seconds of every step that has ended, however."""

    def __init__(self) -> None:
        """Start."""
        self._started = time.monotonic()
        self.steps: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the block as the step called `name`."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.steps[name] = time.monotonic() - started
