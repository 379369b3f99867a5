"""Statistics of each channel over the whole recording: level, variation, and what is wrong with it.

They read the samples twice, in blocks of frames, so memory does not grow with the recording: first
for the extremes, the spectrum and the dropouts, then for the sums and the samples at the extremes,
without what was lost.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from worker.extraction.clipping import RailCounts
from worker.extraction.dropouts import NO_LIMITS, HeldRuns, Run
from worker.extraction.envelope import Envelope
from worker.extraction.errors import C3DError, UnsupportedC3DError
from worker.extraction.layout import Layout
from worker.extraction.levels import Levels
from worker.extraction.marks import marks
from worker.extraction.metadata import channel_names, channel_texts, open_stream
from worker.extraction.rates import rates
from worker.extraction.reader import Metadata
from worker.extraction.running_envelope import RunningEnvelope
from worker.extraction.running_statistics import RunningStatistics
from worker.extraction.samples import (
    Values,
    block_extremes,
    known_rails,
    read_scaling,
    sample_blocks,
)
from worker.extraction.spectrum import Spectrum
from worker.extraction.verdicts import (
    MAX_STEPS,
    Evidence,
    Kind,
    Verdict,
    is_coarse,
    is_rectified,
    judge,
    kind,
    sentence,
)

MAX_BINS = 60  # of a channel's envelope: a sparkline that fits a terminal's line
MAX_SESSION_BINS = 512  # of all channels together
FLAT_SPAN = 1e-6  # of the largest absolute value: a few steps of a float32


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """One channel over the whole recording, in its unit; None where no sample is finite."""

    name: str
    unit: str
    samples: int  # finite ones, that is without `not_finite`
    minimum: float | None
    maximum: float | None
    mean: float | None  # this and what follows: without dropouts
    rms: float | None  # root mean square
    mean_absolute: float | None
    at_rails: float  # share of samples at the limits, 0 to 1; see `clipping`
    not_finite: int  # NaN and infinities, which nothing else includes
    flat: bool
    clipped: bool
    envelope: tuple[float, ...]  # mean absolute value in equal intervals of time
    verdicts: tuple[Verdict, ...]  # what is wrong with it, the worst first
    not_judged: tuple[str, ...]  # codes of verdicts that this recording does not allow


class Signals(NamedTuple):
    """What the samples of a recording tell."""

    statistics: tuple[ChannelStatistics, ...]  # one for each analog channel
    envelope: Envelope | None  # None: it was not asked for, or there are no samples


def channel_statistics(path: Path) -> tuple[ChannelStatistics, ...]:
    """Return the statistics of `read_signals` alone, and raise its errors."""
    return read_signals(path).statistics


def read_signals(path: Path, *, envelope: bool = False) -> Signals:
    """Compute the statistics of every analog channel of the file at `path`.

    Raises:
        C3DError: the file is refused, or is not complete.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        return measure(stream, *open_stream(stream), envelope=envelope)


def measure(
    stream: BinaryIO, metadata: Metadata, layout: Layout, *, envelope: bool = False
) -> Signals:
    """Compute what `read_signals` returns for an opened file; with `envelope`, that as well.

    Raises:
        C3DError: the file is refused, or is not complete.
        OSError: the file cannot be read.
    """
    if not layout.channels or not layout.frames:
        return Signals((), None)
    try:
        with np.errstate(all="ignore"):  # the values may be anything
            first = _FirstPass(stream, metadata, layout, envelope=envelope)
            second = _SecondPass(stream, metadata, layout, first)
        statistics = tuple(_channel(first, second, index) for index in range(layout.channels))
        return Signals(statistics, _envelope(first, second, statistics))
    except (C3DError, OSError, MemoryError):
        raise
    except Exception as error:  # the values in the file may be anything
        raise UnsupportedC3DError(
            f"Its samples cannot be decoded ({ascii(error)[:200]})."
        ) from error


class _FirstPass:
    """What one reading of the samples tells."""

    def __init__(
        self, stream: BinaryIO, metadata: Metadata, layout: Layout, *, envelope: bool
    ) -> None:
        channels, self.samples = layout.channels, layout.frames * layout.samples_per_frame
        self.scaling = read_scaling(metadata, channels)
        self.rate = rates(metadata, channels, layout.samples_per_frame)[1]
        self.names = channel_names(metadata, channels)
        self.units = channel_texts(metadata, "ANALOG:UNITS", channels)
        self.kinds = [kind(*named) for named in zip(self.names, self.units, strict=True)]
        emg = np.array([each is Kind.EMG for each in self.kinds])
        spectrum = Spectrum(emg, self.samples, self.rate)
        self.course = RunningEnvelope(channels, self.samples) if envelope else None
        derived = [index for index, each in enumerate(self.kinds) if each is Kind.DERIVED]
        held, levels = HeldRuns(channels, self.rate, derived), Levels(channels)
        self.finite = np.zeros(channels, np.int64)
        self.low, self.high = np.full(channels, np.inf), np.full(channels, -np.inf)
        for block in sample_blocks(stream, metadata, layout, self.scaling):
            low, high, finite = extremes = block_extremes(block)
            self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
            self.finite += block.shape[1] if finite is None else np.count_nonzero(finite, axis=1)
            same = held.add(block, extremes)
            levels.add(block)
            spectrum.add(block, same)
            if self.course is not None:
                self.course.add(block)
        held.finish()
        self.levels = levels.counts()
        self.mains, self.motion = spectrum.shares().T
        reached = np.stack([self.low, self.high])
        self.limits = known_rails(metadata, layout, self.scaling, reached[:, :, None])
        self.dropouts = {
            index: found
            for index, each in enumerate(self.kinds)
            if (
                found := held.dropouts(
                    index,
                    rests=each is Kind.RESTING,
                    coarse=is_coarse(self.levels.item(index)),
                    limits=NO_LIMITS if self.limits is None else tuple(self.limits[:, index, 0]),
                )
            )
        }
        self.left = reached  # the extremes of what is left without the dropouts
        for index, found in self.dropouts.items():
            self.left[:, index] = held.extremes(index, without=found)


class _SecondPass:
    """What a second reading tells, once the extremes and the dropouts are known."""

    def __init__(
        self, stream: BinaryIO, metadata: Metadata, layout: Layout, first: _FirstPass
    ) -> None:
        low, high = first.left
        rails = RailCounts(low, high, first.levels, first.limits)
        bins = max(min(MAX_BINS, MAX_SESSION_BINS // layout.channels), 1)
        self.running = RunningStatistics(layout.channels, first.samples, bins)
        seen = 0
        for block in sample_blocks(stream, metadata, layout, first.scaling):
            _leave_out(block, first.dropouts, seen)
            rails.add(block)
            self.running.add(block)
            seen += block.shape[1]
        self.envelope = self.running.envelope.tolist()
        self.absolute = self.running.absolute.sum(axis=1)
        greatest = np.maximum(np.abs(first.low), np.abs(first.high))
        self.flat = first.high - first.low <= FLAT_SPAN * greatest
        self.numbers = self.running.numbers
        at_rails, clipped = rails.at_limits(self.numbers)
        self.at_rails, self.clipped = (
            np.where(self.flat, 0, at_rails),
            clipped & ~self.flat & (first.levels > MAX_STEPS),
        )
        self.limits = rails.limits()


def _leave_out(block: Values, dropouts: Mapping[int, Sequence[Run]], seen: int) -> None:
    """Make NaN of the samples of a block that were lost; `seen` samples came before it."""
    for index, runs in dropouts.items():  # which are in order of time
        first = bisect_right(runs, seen, key=attrgetter("end"))
        last = bisect_left(runs, seen + block.shape[1], key=attrgetter("start"))
        for run in runs[first:last]:
            block[index, max(run.start - seen, 0) : run.end - seen] = np.nan


def _channel(first: _FirstPass, second: _SecondPass, index: int) -> ChannelStatistics:
    """Put together what both readings tell of a channel."""
    running = second.running
    seen, numbers = first.finite.item(index), second.numbers.item(index)
    low, high = first.low.item(index), first.high.item(index)
    mean = running.total.item(index) / numbers if numbers else None
    flat, clipped = second.flat.item(index), second.clipped.item(index)
    at_rails = second.at_rails.item(index) / numbers if numbers else 0.0
    verdicts, not_judged = judge(
        Evidence(
            rectified=is_rectified(low, high, mean),
            flat=flat,
            clipped=at_rails if clipped else None,
            dropouts=[run.length for run in first.dropouts.get(index, ())],
            rate=first.rate,
            levels=first.levels.item(index),
            mains=first.mains.item(index),
            motion=first.motion.item(index),
        ),
        first.kinds[index],
    )
    return ChannelStatistics(
        name=first.names[index],
        unit=first.units[index],
        samples=seen,
        minimum=low if seen else None,
        maximum=high if seen else None,
        mean=mean,
        rms=math.sqrt(running.squares.item(index) / numbers) if numbers else None,
        mean_absolute=second.absolute.item(index) / numbers if numbers else None,
        at_rails=at_rails,
        not_finite=running.samples - seen,
        flat=flat,
        clipped=clipped,
        envelope=tuple(second.envelope[index]),
        verdicts=verdicts,
        not_judged=not_judged,
    )


def _envelope(
    first: _FirstPass, second: _SecondPass, statistics: Sequence[ChannelStatistics]
) -> Envelope | None:
    """Put together what a picture shows: what each verdict says of itself, and where it applies."""
    samples, course = first.samples, first.course
    if course is None:
        return None
    return course.finish(
        first.names,
        first.units,
        first.rate,
        notes=["; ".join(map(_note, each.verdicts)) for each in statistics],
        marks=marks(
            course.low,
            course.high,
            length=samples / first.rate if first.rate else float(samples),
            samples=samples,
            dropouts=first.dropouts,
            clipped=second.clipped,
            limits=second.limits,
        ),
    )


def _note(verdict: Verdict) -> str:
    """Say what is wrong, without what helps."""
    return sentence(verdict.as_json()).partition(":")[0]
