"""Statistics of each channel over the whole recording: level, variation, and signs of a fault.

They read the samples twice, in blocks of frames, so memory does not grow with the recording: first
for the extremes and the sums, then to count the samples at the extremes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from worker.errors import C3DError, UnsupportedC3DError
from worker.extraction.envelope import Envelope
from worker.extraction.metadata import channel_names, channel_texts, open_recording, rates
from worker.extraction.running_envelope import RunningEnvelope
from worker.extraction.running_statistics import RunningStatistics
from worker.extraction.samples import Values, known_rails, read_scaling, sample_blocks
from worker.extraction.section import PREFIX_BYTES

MAX_BINS = 60  # of a channel's envelope: a sparkline that fits a terminal's line
MAX_SESSION_BINS = 512  # of all channels together
FLAT_SPAN = 1e-6  # of the largest absolute value: a few steps of a float32
RAIL_WIDTH = 1e-3  # of the span: filters make saturated reals vary this much
NEAR_WIDTH = 1e-2  # of the span: an unsaturated signal has more samples here than at the rails
MIN_RAIL_SHARE = 1e-3  # of the samples of a clipped channel
MIN_RAIL_SAMPLES = 20  # of a clipped channel


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """One channel over the whole recording, in its unit; None where no sample is finite."""

    name: str
    unit: str
    samples: int  # finite ones, that is without `not_finite`
    minimum: float | None
    maximum: float | None
    mean: float | None
    rms: float | None  # root mean square
    mean_absolute: float | None
    at_rails: float  # share of samples at the rails, 0 to 1; see `channel_statistics`
    not_finite: int  # NaN and infinities, which nothing else includes
    flat: bool
    clipped: bool
    envelope: tuple[float, ...]  # mean absolute value in equal intervals of time


class Signals(NamedTuple):
    """What one reading of a recording's samples tells."""

    statistics: tuple[ChannelStatistics, ...]  # one for each analog channel
    envelope: Envelope | None  # None: there are no samples


def channel_statistics(path: Path) -> tuple[ChannelStatistics, ...]:
    """Return the statistics of `read_signals` alone, and raise its errors."""
    return read_signals(path).statistics


def read_signals(path: Path) -> Signals:
    """Compute the statistics of every analog channel of the file at `path`, and their envelope.

    Where the file stores integers, the rails are the limits of the analog-to-digital converter.
    Where it stores reals, they are the observed extremes, except zero, where a rectified signal
    rests; and such a channel counts as clipped only if more samples are at the rails than near
    them.

    Raises:
        C3DError: the file is refused, or is not complete.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        try:
            return _signals(stream, path.stat().st_size)
        except (C3DError, OSError, MemoryError):
            raise
        except Exception as error:  # the values in the file may be anything
            raise UnsupportedC3DError(
                f"Its samples cannot be decoded ({ascii(error)[:200]})."
            ) from error


def _signals(stream: BinaryIO, size: int) -> Signals:
    metadata, layout = open_recording(stream.read(PREFIX_BYTES), size)
    channels, samples = layout.channels, layout.frames * layout.samples_per_frame
    if not channels or not samples:
        return Signals((), None)
    scaling = read_scaling(metadata, channels)
    running = RunningStatistics(
        channels, samples, bins=max(min(MAX_BINS, MAX_SESSION_BINS // channels), 1)
    )
    envelope = RunningEnvelope(channels, samples)
    for block in sample_blocks(stream, metadata, layout, scaling):
        envelope.add(block)
        running.add(block)
    at_rails, near = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    rails = known_rails(metadata, layout, scaling)
    low, high = _edges(running, RAIL_WIDTH) if rails is None else rails
    if np.any(running.minimum <= low) or np.any(running.maximum >= high):
        nearly_low, nearly_high = _edges(running, NEAR_WIDTH)
        for block in sample_blocks(stream, metadata, layout, scaling):
            at_rails += np.count_nonzero((block <= low) | (block >= high), axis=1)
            if rails is None:
                near += np.count_nonzero((block <= nearly_low) | (block >= nearly_high), axis=1)
    flat = (running.span <= FLAT_SPAN * running.greatest)[:, 0]
    at_rails[flat] = 0
    clipped = (at_rails >= np.maximum(MIN_RAIL_SAMPLES, MIN_RAIL_SHARE * running.numbers)) & (
        near <= 2 * at_rails
    )
    names = channel_names(metadata, channels)
    units = channel_texts(metadata, "ANALOG:UNITS", channels)
    statistics = tuple(
        _channel(
            running,
            index,
            name=names[index],
            unit=units[index],
            at_rails=int(at_rails[index]),
            flat=bool(flat[index]),
            clipped=bool(clipped[index]),
        )
        for index in range(channels)
    )
    notes = ["flat" if each.flat else "clipped" if each.clipped else "" for each in statistics]
    rate = rates(metadata, layout)[1]
    return Signals(statistics, envelope.finish(names, units, rate, notes=notes))


def _edges(running: RunningStatistics, width: float) -> tuple[Values, Values]:
    """Return where the outer `width` of the observed span begins, at both ends.

    An extreme of zero has no such edge, which is then infinite.
    """
    low = np.where(running.minimum == 0, -np.inf, running.minimum + width * running.span)
    high = np.where(running.maximum == 0, np.inf, running.maximum - width * running.span)
    return low, high


def _channel(
    running: RunningStatistics,
    index: int,
    *,
    name: str,
    unit: str,
    at_rails: int,
    flat: bool,
    clipped: bool,
) -> ChannelStatistics:
    numbers = int(running.numbers[index])
    return ChannelStatistics(
        name=name,
        unit=unit,
        samples=numbers,
        minimum=float(running.minimum[index, 0]) if numbers else None,
        maximum=float(running.maximum[index, 0]) if numbers else None,
        mean=float(running.total[index]) / numbers if numbers else None,
        rms=math.sqrt(running.squares[index] / numbers) if numbers else None,
        mean_absolute=float(running.absolute[index].sum()) / numbers if numbers else None,
        at_rails=at_rails / numbers if numbers else 0.0,
        not_finite=running.samples - numbers,
        flat=flat,
        clipped=clipped,
        envelope=tuple(float(level) for level in running.envelope[index]),
    )
