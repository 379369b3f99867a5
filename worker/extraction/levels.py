"""Counts the distinct values of channels that have few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.extraction.samples import Values

MAX_LEVELS = 12  # from here on, the most that a block's glance shows will do
ENOUGH = 1001  # levels: clipping asks whether a step is more than a thousandth of the span
GLANCE = 1024  # samples, spread over a block


class Levels:
    """The distinct values of each channel: all of them up to MAX_LEVELS, then a lower bound."""

    def __init__(self, channels: int) -> None:
        """Begin without any sample."""
        self._known: Values = np.full((channels, MAX_LEVELS), np.nan)  # in ascending order
        self._few = np.ones(channels, bool)  # which have no more than these
        self._counts = np.zeros(channels, np.int64)

    def add(self, block: Values) -> None:
        """Add the next samples, of shape (channels, n); those that are not finite do not count."""
        unsure = np.flatnonzero(self._counts < ENOUGH)
        if not len(unsure):
            return
        every = max(block.shape[1] // GLANCE, 1)
        glance = _sorted(block[:, ::every][unsure])
        seen = np.count_nonzero(glance[:, 1:] > glance[:, :-1], axis=1) + 1
        self._counts[unsure] = np.maximum(self._counts[unsure], seen)
        self._few &= self._counts <= MAX_LEVELS
        if self._few.any():
            self._add_few(block)

    def _add_few(self, block: Values) -> None:
        """Add all samples of the channels that have few levels."""
        few = np.flatnonzero(self._few)
        values = _sorted(np.concatenate((self._known[few], block[few]), axis=1))
        first = np.isfinite(values)
        first[:, 1:] &= values[:, 1:] != values[:, :-1]
        self._counts[few] = np.count_nonzero(first, axis=1)
        self._few[few] = self._counts[few] <= MAX_LEVELS
        first[~self._few[few]] = False
        row, at = np.nonzero(first)
        place = np.arange(len(row)) - np.searchsorted(row, row)
        self._known[few[row], place] = values[row, at]

    def counts(self) -> np.ndarray:
        """Return the number of distinct values of each channel."""
        return self._counts


def _sorted(values: Values) -> NDArray[np.float32]:
    """Sort each row, as 32-bit reals: recordings have none that are finer, and that is quicker."""
    reals = values.astype(np.float32)
    reals.sort(axis=1)
    return reals
