"""Counts the distinct values of channels that have few."""

from __future__ import annotations

import numpy as np

from worker.extraction.samples import Values

MAX_LEVELS = 64  # more count as many
GLANCE = 1024  # samples, spread over a block, that tell most channels to have many values
MANY = 1_000_000


class Levels:
    """The distinct values of each channel, as long as they are at most MAX_LEVELS."""

    def __init__(self, channels: int) -> None:
        """Begin without any sample."""
        self._levels: dict[int, Values] = {index: np.empty(0) for index in range(channels)}
        self._channels = channels

    def add(self, block: Values, same: np.ndarray) -> None:
        """Add the next samples, of shape (channels, n); those that are not finite do not count.

        `same` says which repeat the one before.
        """
        if not self._levels:
            return
        few = np.array(list(self._levels))
        glance = np.sort(block[few, :: max(block.shape[1] // GLANCE, 1)], axis=1)
        many = np.count_nonzero(glance[:, 1:] > glance[:, :-1], axis=1) >= MAX_LEVELS
        for index in few[many].tolist():
            del self._levels[index]
        for index in few[~many].tolist():
            samples = block[index][~same[index]]
            levels = np.union1d(self._levels[index], samples[np.isfinite(samples)])
            self._levels[index] = levels
            if len(levels) > MAX_LEVELS:
                del self._levels[index]

    def counts(self) -> np.ndarray:
        """Return the number of distinct values of each channel; MANY above MAX_LEVELS."""
        counts = np.full(self._channels, MANY, np.int64)
        for index, levels in self._levels.items():
            counts[index] = len(levels)
        return counts
