"""The course of each channel as a picture shows it: its extremes in equal intervals of time.

The number of samples is known before the first one is read, so the intervals are fixed, and memory
does not grow with the recording. An interval without a finite sample is NaN: a gap.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.extraction.samples import Values

MAX_COLUMNS = 1120  # intervals: as many pixels as a picture has for them
MAX_CHANNELS = 128  # that are kept, the first of the file: more no picture can show
MAX_REAL = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Mark:
    """A stretch of a channel that a verdict is about."""

    channel: int  # index
    start: float  # seconds
    end: float
    code: str  # of the verdict, such as `dropout` or `clipped`


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a picture of a recording needs; without numpy, so that any process can hold it.

    Attributes:
        names, units: of the channels that are kept; '' where the file states none.
        channels: number of channels of the recording, whether kept or not.
        samples: number of samples of each.
        rate: in Hz; None where the file states none.
        low, high: the extremes, `columns` for each kept channel, one channel after the other.
        notes: what is wrong with each kept channel, in words; '' where nothing is.
        marks: where it is.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    channels: int
    samples: int
    rate: float | None
    low: array[float]
    high: array[float]
    notes: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()

    @property
    def columns(self) -> int:
        """Number of intervals of time."""
        return len(self.low) // len(self.names)

    @property
    def seconds(self) -> float | None:
        """Length of the recording; None where its rate is unknown."""
        return self.samples / self.rate if self.rate else None

    @property
    def size(self) -> int:
        """The bytes that the extremes take."""
        return (len(self.low) + len(self.high)) * self.low.itemsize


class RunningEnvelope:
    """The extremes of the samples added so far."""

    def __init__(self, channels: int, samples: int) -> None:
        """Expect `samples` samples in each of `channels` channels; both are 1 or more."""
        kept, columns = min(channels, MAX_CHANNELS), min(samples, MAX_COLUMNS)
        self._channels, self._samples = channels, samples
        self._low: Values = np.full((kept, columns), np.inf)
        self._high: Values = np.full((kept, columns), -np.inf)
        self._edges = np.arange(columns, dtype=np.int64) * samples // columns
        self._seen = 0

    def add(self, block: Values) -> None:
        """Add the next samples, of shape (channels, n), which stay as they are."""
        block = block[: len(self._low)]
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
        np.minimum(self._low[:, first:last], low, out=self._low[:, first:last])
        np.maximum(self._high[:, first:last], high, out=self._high[:, first:last])
        self._seen += length

    def finish(
        self,
        names: Sequence[str],
        units: Sequence[str],
        rate: float | None,
        *,
        notes: Sequence[str] = (),
        marks: Sequence[Mark] = (),
    ) -> Envelope:
        """Return the envelope; of the texts, notes and marks those of the kept channels."""
        kept = len(self._low)
        return Envelope(
            names=tuple(names[:kept]),
            units=tuple(units[:kept]),
            channels=self._channels,
            samples=self._samples,
            rate=rate,
            low=_reals(self._low),
            high=_reals(self._high),
            notes=tuple(notes[:kept]),
            marks=tuple(mark for mark in marks if mark.channel < kept),
        )


def _reals(values: Values) -> array[float]:
    """Return values as reals of 32 bits; NaN where they are infinite."""
    values = np.where(np.isfinite(values), np.clip(values, -MAX_REAL, MAX_REAL), np.nan)
    return array("f", values.astype(np.float32).tobytes())
