"""Running totals over blocks of samples."""

from __future__ import annotations

import numpy as np

from worker.extraction.samples import Values


class RunningStatistics:
    """The totals of the finite samples added so far, for every channel, in the channels' units.

    Attributes:
        samples: number of samples that each channel has in all.
        total, squares: sums of the values and of their squares, of shape (channels,).
        absolute: sums of the absolute values per interval of time, of shape (channels, bins).
    """

    def __init__(self, channels: int, samples: int, bins: int) -> None:
        """Expect `samples` samples in each of `channels` channels, in `bins` equal intervals."""
        bins = min(bins, samples)
        self.samples = samples
        self.total: Values = np.zeros(channels)
        self.squares: Values = np.zeros(channels)
        self.absolute: Values = np.zeros((channels, bins))
        self._in_bin = np.zeros((channels, bins), np.int64)
        self._edges = np.arange(bins, dtype=np.int64) * samples // bins
        self._seen = 0

    def add(self, block: Values) -> None:
        """Add the next samples, of shape (channels, n), and overwrite them: new memory costs."""
        length = block.shape[1]
        first = int(np.searchsorted(self._edges, self._seen, side="right")) - 1
        last = int(np.searchsorted(self._edges, self._seen + length, side="left"))
        starts = np.maximum(self._edges[first:last] - self._seen, 0)
        total = block.sum(axis=1)
        self._in_bin[:, first:last] += np.diff(starts, append=length)
        if len(rows := np.flatnonzero(~np.isfinite(total))):
            left_out = ~np.isfinite(block)
            np.copyto(block, 0.0, where=left_out)
            total = block.sum(axis=1)
            self._in_bin[rows, first:last] -= np.add.reduceat(left_out[rows], starts, 1, np.int64)
        self.total += total
        self.squares += np.vecdot(block, block)
        self.absolute[:, first:last] += np.add.reduceat(np.abs(block, out=block), starts, axis=1)
        self._seen += length

    @property
    def numbers(self) -> np.ndarray:
        """Number of finite samples added, of shape (channels,)."""
        return np.asarray(self._in_bin.sum(axis=1))

    @property
    def envelope(self) -> Values:
        """Mean absolute value per interval of time, of shape (channels, bins)."""
        return self.absolute / np.maximum(self._in_bin, 1)
