"""Finds dropouts: stretches where samples were lost, and one exact value stands in their place.

A signal repeats a value by chance or because its sensor is coarse. A dropout shows by standing far
outside the rest, or by being several times as long as any other repetition near it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from typing import NamedTuple

import numpy as np

from worker.extraction.runs import (
    MIN_RUN,
    NEXT_TO,
    extremes_of,
    leaps_to,
    long_runs,
    longest_of,
    outside,
    repeats,
)
from worker.extraction.samples import Values

MIN_SECONDS = 0.01  # of a dropout: at high rates 8 samples are nothing that anyone would miss
MAX_RUNS = 1000  # of a channel that are kept, the longest: they are held in memory
MAX_HELD = 200  # runs after which a channel that has as few others is looked at no more
NO_LIMITS = (-math.inf, math.inf)
MAX_LENGTH = 4096  # samples: longer runs count as that long where lengths are compared
FAR = 0.25  # of the span of everything else; GHOSTLY's lost packets are 1.7 outside
GAP = 3.0  # a dropout is so many times as long as the longest run that it is not
MIN_OTHERS = 10  # runs beside each dropout: a switch has few values, and long runs of each
REST_SHARE = 0.5  # of the samples, zero while a rectified signal rests; GHOSTLY's: 0.62 to 0.99
RESTS_BELOW = 10.0  # Hz, root mean square frequency: no EMG; forces and angles rest at zero


class Run(NamedTuple):
    """Samples of one exact value; not-finite ones count as one value."""

    length: int  # samples
    start: int  # index of the first
    value: float
    leaps: bool = False  # the signal leaps to it, or away, from much farther than it moved before

    @property
    def end(self) -> int:
        """Index after the last."""
        return self.start + self.length


@dataclass(slots=True)
class _Channel:
    """What is known of a channel that has a long run."""

    runs: list[Run] = field(default_factory=list)  # a heap of those that may be dropouts
    lengths: set[int] = field(default_factory=lambda: {1})  # of all runs, as far as looked at
    number: int = 0  # of all runs
    others: int = 0  # samples outside long runs, and of them:
    differences: float = 0.0  # the sum of the squared differences of successive ones
    total: float = 0.0
    squares: float = 0.0

    def weigh(self, samples: Values) -> None:
        """Add samples outside long runs."""
        self.others += len(samples)
        self.differences += float(np.square(np.diff(samples)).sum())
        self.total += float(samples.sum())
        self.squares += float(np.square(samples).sum())

    def keep(self, run: Run) -> None:
        """Keep a run if it is among the longest."""
        self.lengths.add(min(run.length, MAX_LENGTH))
        (heappush if len(self.runs) < MAX_RUNS else heappushpop)(self.runs, run)


class HeldRuns:
    """Collects the long runs of every channel, block by block."""

    def __init__(self, channels: int, rate: float | None, derived: Sequence[int] = ()) -> None:
        """`rate` in Hz, None if the file states none; zeros of `derived` channels are no runs."""
        self._rate = rate
        self._derived = list(derived)
        self._channels: dict[int, _Channel] = {}
        self._last: Values = np.full((channels, 1), np.nan)
        self._given_up = np.zeros(channels, bool)  # what is held everywhere loses nothing
        self._open = np.zeros(channels, np.int64)  # samples of the run that the last block ends in
        self._seen = 0
        self._low: Values = np.full(channels, np.inf)  # of the samples outside long runs
        self._high: Values = np.full(channels, -np.inf)

    def add(self, block: Values) -> np.ndarray:
        """Add the next samples, and return which repeat the one before; (channels, n) both."""
        length = block.shape[1]
        same = np.empty(block.shape, bool)
        np.equal(block[:, :1], self._last, out=same[:, :1])
        np.equal(block[:, 1:], block[:, :-1], out=same[:, 1:])
        low, high = block.min(axis=1), block.max(axis=1)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            absent = ~np.isfinite(np.concatenate((self._last, block), axis=1))
            same |= absent[:, 1:] & absent[:, :-1]
            low = np.where(absent[:, 1:], np.inf, block).min(axis=1)
            high = np.where(absent[:, 1:], -np.inf, block).max(axis=1)
        every = same
        waits = ~((low < block[:, -1]) & (block[:, -1] < high))
        if self._derived:
            same = same.copy()
            same[self._derived] &= block[self._derived] != 0
            waits[self._derived] &= block[self._derived, -1] != 0
        edge = min(length, MIN_RUN)
        heads = np.logical_and.accumulate(same[:, :edge], axis=1).sum(axis=1)
        tails = np.logical_and.accumulate(same[:, length - edge :][:, ::-1], axis=1).sum(axis=1)
        # A run that has begun may become a long one, so its value waits until it ends.
        looked_at = repeats(same, MIN_RUN - 1).any(axis=1) | (self._open + heads >= MIN_RUN)
        looked_at = (looked_at | waits) & ~self._given_up
        opened = np.where(tails == length, self._open + tails, tails + 1)
        for index in np.flatnonzero(looked_at).tolist():
            extremes = float(low[index]), float(high[index])
            opened[index], low[index], high[index] = self._look(
                index, block[index], same[index], extremes
            )
        self._low, self._high = np.fmin(self._low, low), np.fmax(self._high, high)
        self._open, self._last = opened, block[:, -1:].copy()
        self._seen += length
        return every

    def _look(
        self, index: int, samples: Values, same: np.ndarray, extremes: tuple[float, float]
    ) -> tuple[int, float, float]:
        """Note the runs of one channel's block.

        Return the length of the run that the block ends in, and the extremes outside long runs.
        """
        channel = self._channels.setdefault(index, _Channel())
        before, length = int(self._open[index]), len(same)
        head = int(np.argmin(same))  # samples that go on with the run before
        if same[head]:
            return before + length, np.inf, -np.inf
        tail = 1 + int(np.argmin(same[::-1]))  # samples of the run that goes on, as far as known
        channel.number += length - int(np.count_nonzero(same))
        starts, ends = long_runs(same)
        lengths, values = ends - starts, samples[starts]
        # What is outside long runs, and outside those that are not closed, in pieces.
        bounds = np.concatenate(([head], np.stack([starts, ends], axis=1).ravel(), [length - tail]))
        if before + head >= MIN_RUN:
            value = float(self._last[index, 0] if before else samples[0])
            leaps = leaps_to(value, samples[head : head + NEXT_TO])
            channel.keep(Run(before + head, self._seen - before, value, leaps))
        low, high = extremes
        edges = np.concatenate((values, samples[:1], samples[-1:]))
        if not np.all((low < edges) & (edges < high)):
            low, high = extremes_of(samples, bounds.reshape(-1, 2))
        if len(starts):
            other = outside(bounds, length)
            sizes = {longest_of(same & other), *np.minimum(lengths, MAX_LENGTH).tolist()}
            channel.lengths |= sizes
            candidate = lengths >= min(_outlasting(sorted(sizes)), MAX_LENGTH)
            candidate |= ~((low <= values) & (values <= high))
            for at in np.flatnonzero(candidate).tolist():
                start, end, value = int(starts[at]), int(ends[at]), float(values[at])
                leaps = (
                    value != 0  # which is judged without
                    and leaps_to(value, samples[end : end + NEXT_TO])
                    and leaps_to(value, samples[max(start - NEXT_TO, 0) : start][::-1])
                )
                channel.keep(Run(end - start, self._seen + start, value, leaps))
        self._given_up[index] = (
            len(channel.runs) >= MAX_HELD and len(channel.runs) * MIN_OTHERS > channel.number
        )
        if low < 0 < high and np.any(edges == 0):
            channel.weigh(samples[outside(bounds, length)])
        return tail, float(low), float(high)

    def finish(self) -> None:
        """Note the runs that the recording ends in."""
        for index, length in enumerate(self._open.tolist()):
            value = float(self._last[index, 0])
            if length >= MIN_RUN:
                self._channels.setdefault(index, _Channel()).keep(
                    Run(length, self._seen - length, value)
                )
            elif math.isfinite(value):
                self._low[index] = min(self._low[index], value)
                self._high[index] = max(self._high[index], value)

    def dropouts(
        self, index: int, *, rests: bool, coarse: bool, limits: tuple[float, float] = NO_LIMITS
    ) -> list[Run]:
        """Return the dropouts of a channel in order of time.

        With `rests`, the channel is one that holds a value while nothing happens, such as a force
        plate: only what is far outside is a dropout, and zero is none. One that is `coarse` does
        not clip. `limits` is what its converter can reach, where the file states it.
        """
        channel = self._channels.get(index)
        low, high = float(self._low[index]), float(self._high[index])
        if channel is None or self._given_up[index] or not low <= high:
            return []
        reach = FAR * (high - low)
        long = max(MIN_RUN, math.ceil(MIN_SECONDS * (self._rate or 0.0)))
        outlasting = max(long, _outlasting(sorted(channel.lengths)))
        at_rest = rests or self._rests_at_zero(channel, low, high)
        found = []
        for run in channel.runs:
            is_far = not low - reach <= run.value <= high + reach
            if run.length < (long if is_far else outlasting) or (
                not is_far and not limits[0] < run.value < limits[1]
            ):
                is_lost = False
            elif run.value == 0:
                is_lost = not at_rest
            elif is_far:
                is_lost = True
            else:  # at an extreme that the signal swings to, it is clipping
                is_lost = not rests and (coarse or run.leaps or low < run.value < high)
            if is_lost:
                found.append(run)
        if len(found) * MIN_OTHERS > channel.number:
            return []
        return sorted(found, key=lambda run: run.start)

    def extremes(self, index: int, *, without: list[Run]) -> tuple[float, float]:
        """Return the smallest and the largest finite sample of a channel outside some runs."""
        kept = {run.value for run in self._channels[index].runs} - {run.value for run in without}
        kept = {value for value in kept if math.isfinite(value)}
        low, high = float(self._low[index]), float(self._high[index])
        return min(kept | {low}), max(kept | {high})

    def _rests_at_zero(self, channel: _Channel, low: float, high: float) -> bool:
        """Whether zero is what a channel shows while nothing happens.

        So it is where the signal keeps to one side of zero and is zero for long, and where it moves
        too slowly to be an EMG signal.
        """
        if low >= 0 or high <= 0:
            zeros = sum(run.length for run in channel.runs if run.value == 0)
            return zeros >= REST_SHARE * self._seen
        if not self._rate or not channel.others:
            return False
        variance = channel.squares / channel.others - (channel.total / channel.others) ** 2
        frequency = self._rate / math.tau * math.sqrt(channel.differences / channel.others)
        return frequency < RESTS_BELOW * math.sqrt(max(variance, 0.0))


def _outlasting(lengths: list[int]) -> float:
    """Return the first of ascending lengths that is GAP times the one before; else infinity."""
    longest = 1
    for length in lengths:
        if length >= max(GAP * longest, MIN_RUN):
            return length
        longest = max(length, longest)
    return math.inf
