"""The course of each channel as a picture shows it: its extremes in equal intervals of time.

Nothing here needs numpy, so that any process can hold an envelope.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

MAX_COLUMNS = 1120  # intervals: as many pixels as a picture has for them
MAX_CHANNELS = 128  # that are kept, the first of the file: more no picture can show


@dataclass(frozen=True, slots=True)
class Mark:
    """A stretch of a channel that a verdict is about."""

    channel: int  # index
    start: float  # in the unit of `Envelope.length`
    end: float
    code: str  # of the verdict, such as `dropout` or `clipped`


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a picture of a recording needs.

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
    def length(self) -> float:
        """Length of the recording in seconds, or in samples where its rate is unknown."""
        return self.seconds or float(self.samples)

    @property
    def size(self) -> int:
        """The bytes that the extremes take."""
        return (len(self.low) + len(self.high)) * self.low.itemsize
