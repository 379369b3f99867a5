"""Running totals over blocks of samples."""

from __future__ import annotations

import numpy as np

from worker.extraction.samples import Values


class RunningStatistics:
    """The totals of the samples added so far, for every channel, in the channels' units.

    Attributes:
        samples: number of samples that each channel has in all.
        numbers: number of finite samples added, of shape (channels,).
        minimum, maximum: the extremes, of shape (channels, 1); infinite before any finite sample.
        total, squares: sums of the values and of their squares, of shape (channels,).
        absolute: sums of the absolute values per interval of time, of shape (channels, bins).
    """

    def __init__(self, channels: int, samples: int, bins: int) -> None:
        """Expect `samples` samples in each of `channels` channels, in `bins` equal intervals."""
        bins = min(bins, samples)
        self.samples = samples
        self.numbers = np.zeros(channels, np.int64)
        self.minimum: Values = np.full((channels, 1), np.inf)
        self.maximum: Values = np.full((channels, 1), -np.inf)
        self.total: Values = np.zeros(channels)
        self.squares: Values = np.zeros(channels)
        self.absolute: Values = np.zeros((channels, bins))
        self._in_bin = np.zeros((channels, bins), np.int64)
        self._edges = np.array([index * samples // bins for index in range(bins)], np.int64)
        self._seen = 0

    def add(self, block: Values) -> None:
        """Add the next samples, of shape (channels, n); this overwrites the block."""
        minimum, maximum = block.min(axis=1, keepdims=True), block.max(axis=1, keepdims=True)
        finite = None
        if not (np.isfinite(minimum).all() and np.isfinite(maximum).all()):
            finite = np.isfinite(block)
            minimum = np.where(finite, block, np.inf).min(axis=1, keepdims=True)
            maximum = np.where(finite, block, -np.inf).max(axis=1, keepdims=True)
            block[~finite] = 0.0
        np.minimum(self.minimum, minimum, out=self.minimum)
        np.maximum(self.maximum, maximum, out=self.maximum)
        self.total += block.sum(axis=1)
        self.squares += np.einsum("cn,cn->c", block, block)
        self._add_absolute(np.abs(block, out=block), finite)

    def _add_absolute(self, block: Values, finite: np.ndarray | None) -> None:
        length = block.shape[1]
        first = int(np.searchsorted(self._edges, self._seen, side="right")) - 1
        last = int(np.searchsorted(self._edges, self._seen + length, side="left"))
        starts = np.maximum(self._edges[first:last] - self._seen, 0)
        counts = np.diff(np.append(starts, length))
        in_bin = counts if finite is None else np.add.reduceat(finite, starts, 1, dtype=np.int64)
        self.absolute[:, first:last] += np.add.reduceat(block, starts, axis=1)
        self._in_bin[:, first:last] += in_bin
        self.numbers += length if finite is None else finite.sum(axis=1)
        self._seen += length

    def replace(self, channels: list[int], others: RunningStatistics) -> None:
        """Take the sums of some channels from `others`, which has these only; extremes stay."""
        for name in ("numbers", "total", "squares", "absolute", "_in_bin"):
            getattr(self, name)[channels] = getattr(others, name)

    @property
    def span(self) -> Values:
        """Maximum minus minimum, of shape (channels, 1); 0 where no sample is finite."""
        seen = np.isfinite(self.minimum)
        return np.subtract(self.maximum, self.minimum, where=seen, out=np.zeros_like(self.minimum))

    @property
    def greatest(self) -> Values:
        """The largest absolute value, of shape (channels, 1)."""
        return np.maximum(np.abs(self.minimum), np.abs(self.maximum))

    @property
    def envelope(self) -> Values:
        """Mean absolute value per interval of time, of shape (channels, bins)."""
        return self.absolute / np.maximum(self._in_bin, 1)
