"""Statistics of each channel over the whole recording: level, variation, and what is wrong with it.

They read the samples twice, in blocks of frames, so memory does not grow with the recording: first
for the extremes, the sums, the spectrum and the dropouts, then to count the samples at the
extremes. Where samples were lost, the second reading also takes the levels anew, without them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from worker.extraction.clipping import RailCounts
from worker.extraction.dropouts import NO_LIMITS, HeldRuns
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
KEPT_VALUES = 1_000_000  # samples that are kept from one reading to the next, 8 MB
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
        channels, samples = layout.channels, layout.frames * layout.samples_per_frame
        self.scaling = read_scaling(metadata, channels)
        self.rate = rates(metadata, channels, layout.samples_per_frame)[1]
        self.names = channel_names(metadata, channels)
        self.units = channel_texts(metadata, "ANALOG:UNITS", channels)
        self.bins = max(min(MAX_BINS, MAX_SESSION_BINS // channels), 1)
        self.running = RunningStatistics(channels, samples, self.bins)
        self.kinds = [kind(*named) for named in zip(self.names, self.units, strict=True)]
        emg = np.array([each is Kind.EMG for each in self.kinds])
        spectrum = Spectrum(emg, samples, self.rate)
        self.course = RunningEnvelope(channels, samples) if envelope else None
        derived = [index for index, each in enumerate(self.kinds) if each is Kind.DERIVED]
        held, levels = HeldRuns(channels, self.rate, derived), Levels(channels)
        self.blocks: list[Values] = []  # all of them, where they are few
        few = channels * samples <= KEPT_VALUES
        for block in sample_blocks(stream, metadata, layout, self.scaling):
            extremes = block_extremes(block)
            same = held.add(block, extremes)
            levels.add(block)
            spectrum.add(block, same)
            if self.course:
                self.course.add(block)
            self.running.add(block, extremes)
            if few:
                self.blocks.append(block)
        held.finish()
        self.levels = levels.counts()
        self.mains, self.motion = spectrum.shares().T
        self.finite = self.running.numbers.copy()
        reached = np.stack([self.running.minimum, self.running.maximum])
        self.limits = known_rails(metadata, layout, self.scaling, reached)
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
        self.minimum = self.running.minimum[:, 0].copy()
        self.maximum = self.running.maximum[:, 0].copy()
        for index, found in self.dropouts.items():  # the extremes of what is left
            self.minimum[index], self.maximum[index] = held.extremes(index, without=found)


class _SecondPass:
    """What a second reading tells, once the extremes and the dropouts are known."""

    def __init__(
        self, stream: BinaryIO, metadata: Metadata, layout: Layout, first: _FirstPass
    ) -> None:
        rails = RailCounts(first.minimum, first.maximum, first.levels, first.limits)
        lossy = list(first.dropouts)
        running = RunningStatistics(len(lossy), first.running.samples, first.bins)
        seen = 0
        for block in first.blocks or sample_blocks(stream, metadata, layout, first.scaling):
            length = block.shape[1]
            for index, runs in first.dropouts.items():
                for run in runs:
                    block[index, max(run.start - seen, 0) : max(run.end - seen, 0)] = np.nan
            rails.add(block)
            if lossy:
                left = block[lossy]
                running.add(left, block_extremes(left))
            seen += length
        if lossy:
            first.running.replace(lossy, running)
        self.envelope = first.running.envelope.tolist()
        self.absolute = first.running.absolute.sum(axis=1)
        self.flat = (first.running.span <= FLAT_SPAN * first.running.greatest)[:, 0]
        at_rails, clipped = rails.at_limits(first.running.numbers)
        self.at_rails, self.clipped = (
            np.where(self.flat, 0, at_rails),
            clipped & ~self.flat & (first.levels > MAX_STEPS),
        )
        self.limits = rails.limits()


def _channel(first: _FirstPass, second: _SecondPass, index: int) -> ChannelStatistics:
    """Put together what both readings tell of a channel."""
    running = first.running
    seen, numbers = first.finite.item(index), running.numbers.item(index)
    low, high = running.minimum.item(index), running.maximum.item(index)
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
    samples, course = first.running.samples, first.course
    if not course:
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
