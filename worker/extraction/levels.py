"""Counts the distinct values of channels that have few."""

from __future__ import annotations

import numpy as np

from worker.extraction.samples import Values

MAX_LEVELS = 12  # from here on, the most that a block's glance shows will do
GLANCE = 1024  # samples, spread over a block


class Levels:
    """The distinct values of each channel: all of them up to MAX_LEVELS, then a lower bound."""

    def __init__(self, channels: int) -> None:
        """Begin without any sample."""
        self._few: dict[int, Values] = {index: np.empty(0) for index in range(channels)}
        self._counts = np.zeros(channels, np.int64)

    def add(self, block: Values, same: np.ndarray) -> None:
        """Add the next samples, of shape (channels, n); those that are not finite do not count.

        `same` says which repeat the one before.
        """
        every = max(block.shape[1] // GLANCE, 1)
        glance = np.sort(block[:, ::every], axis=1)
        seen = np.count_nonzero(glance[:, 1:] > glance[:, :-1], axis=1) + 1
        np.maximum(self._counts, seen, out=self._counts)
        for index in list(self._few):
            if self._counts[index] <= MAX_LEVELS:
                samples = glance[index] if every == 1 else block[index][~same[index]]
                levels = np.union1d(self._few[index], samples[np.isfinite(samples)])
                self._few[index], self._counts[index] = levels, len(levels)
            if self._counts[index] > MAX_LEVELS:
                del self._few[index]

    def counts(self) -> np.ndarray:
        """Return the number of distinct values of each channel."""
        return self._counts
