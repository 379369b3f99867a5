"""Gathers an envelope over blocks of samples.

The number of samples is known before the first one is read, so the intervals are fixed, and memory
does not grow with the recording. An interval without a finite sample is NaN: a gap.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np

from worker.extraction.envelope import MAX_CHANNELS, MAX_COLUMNS, Envelope, Mark
from worker.extraction.samples import Values

MAX_REAL = float(np.finfo(np.float32).max)


class RunningEnvelope:
    """The extremes of the samples added so far, `low` and `high`, of shape (channels, columns)."""

    def __init__(self, channels: int, samples: int) -> None:
        """Expect `samples` samples in each of `channels` channels; both are 1 or more."""
        kept, columns = min(channels, MAX_CHANNELS), min(samples, MAX_COLUMNS)
        self._channels, self._samples = channels, samples
        self.low: Values = np.full((kept, columns), np.inf)
        self.high: Values = np.full((kept, columns), -np.inf)
        self._edges = np.arange(columns, dtype=np.int64) * samples // columns
        self._seen = 0

    def add(self, block: Values) -> None:
        """Add the next samples, of shape (channels, n), which stay as they are."""
        block = block[: len(self.low)]
        length = block.shape[1]
        first = int(np.searchsorted(self._edges, self._seen, side="right")) - 1
        last = int(np.searchsorted(self._edges, self._seen + length, side="left"))
        starts = np.maximum(self._edges[first:last] - self._seen, 0)
        with np.errstate(all="ignore"):  # the values may be anything
            low = np.minimum.reduceat(block, starts, axis=1)
            high = np.maximum.reduceat(block, starts, axis=1)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            finite = np.isfinite(block)
            low = np.minimum.reduceat(np.where(finite, block, np.inf), starts, axis=1)
            high = np.maximum.reduceat(np.where(finite, block, -np.inf), starts, axis=1)
        np.minimum(self.low[:, first:last], low, out=self.low[:, first:last])
        np.maximum(self.high[:, first:last], high, out=self.high[:, first:last])
        self._seen += length

    def finish(
        self,
        names: Sequence[str],
        units: Sequence[str],
        rate: float | None,
        *,
        notes: Sequence[str] = (),
        marks: Iterable[Mark] = (),
    ) -> Envelope:
        """Return the envelope; of the texts, notes and marks those of the kept channels."""
        kept = len(self.low)
        return Envelope(
            names=tuple(names[:kept]),
            units=tuple(units[:kept]),
            channels=self._channels,
            samples=self._samples,
            rate=rate,
            low=_reals(self.low),
            high=_reals(self.high),
            notes=tuple(notes[:kept]),
            marks=tuple(mark for mark in marks if mark.channel < kept),
        )


def _reals(values: Values) -> array[float]:
    """Return values as reals of 32 bits; NaN where they are infinite."""
    values = np.where(np.isfinite(values), np.clip(values, -MAX_REAL, MAX_REAL), np.nan)
    return array("f", values.astype(np.float32).tobytes())
