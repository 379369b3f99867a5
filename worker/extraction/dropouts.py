"""Finds dropouts: stretches where samples were lost, and one exact value stands in their place.

A signal repeats a value by chance or because its sensor is coarse. A dropout shows by standing far
outside the rest, or by being several times as long as any other repetition near it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from heapq import heappush, heappushpop
from typing import NamedTuple

import numpy as np

from worker.extraction.runs import (
    MIN_RUN,
    between,
    in_long_runs,
    leaps,
    long_runs,
    longest_of,
    repeats,
)
from worker.extraction.samples import Extremes, Values, extremes_of

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


class HeldRuns:
    """Collects the long runs of every channel, block by block."""

    def __init__(self, channels: int, rate: float | None, derived: Sequence[int] = ()) -> None:
        """`rate` in Hz, None if the file states none; zeros of `derived` channels are no runs."""
        self._rate = rate
        self._derived = list(derived)
        self._runs: dict[int, list[Run]] = {}  # heaps of those that may be dropouts
        self._lengths: dict[int, set[int]] = {}  # of all long runs, and the longest short ones
        self._number = np.zeros(channels, np.int64)  # of all runs, as far as looked at
        self._kept = np.zeros(channels, np.int64)  # of these
        self._last: Values = np.full((channels, 1), np.nan)
        self._given_up = np.zeros(channels, bool)  # what is held everywhere loses nothing
        self._open = np.zeros(channels, np.int64)  # samples of the run that the last block ends in
        self._seen = 0
        # Of the samples outside long runs:
        self._low: Values = np.full(channels, np.inf)
        self._high: Values = np.full(channels, -np.inf)
        # their number, the sums of squared differences of successive ones, of values, of squares
        self._weights: Values = np.zeros((4, channels))

    def add(self, block: Values, extremes: Extremes) -> np.ndarray:
        """Add the next samples, and return which repeat the one before; (channels, n) both."""
        length = block.shape[1]
        same = np.empty(block.shape, bool)
        np.equal(block[:, :1], self._last, out=same[:, :1])
        np.equal(block[:, 1:], block[:, :-1], out=same[:, 1:])
        low, high = extremes.low.copy(), extremes.high.copy()
        if extremes.finite is not None:
            same[:, 1:] |= ~(extremes.finite[:, 1:] | extremes.finite[:, :-1])
            same[:, 0] |= ~(extremes.finite[:, 0] | np.isfinite(self._last[:, 0]))
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
        within = repeats(same, MIN_RUN - 1)
        looked_at = within.any(axis=1) | (self._open + heads >= MIN_RUN)
        rows = np.flatnonzero((looked_at | waits) & ~self._given_up)
        opened = np.where(tails == length, self._open + tails, tails + 1)
        if len(rows):
            looked = (block, same, within)
            if len(rows) < len(block):  # a copy of everything costs
                looked = (block[rows], same[rows], within[rows])
            opened[rows], low[rows], high[rows] = self._look(rows, *looked, extremes.finite)
        self._low, self._high = np.fmin(self._low, low), np.fmax(self._high, high)
        self._open, self._last = opened, block[:, -1:].copy()
        self._seen += length
        return every

    def _look(
        self,
        channels: np.ndarray,
        samples: Values,
        same: np.ndarray,
        within: np.ndarray,
        finite: np.ndarray | None,
    ) -> tuple[np.ndarray, Values, Values]:
        """Note the runs of some channels' block.

        Return the lengths of the runs that the block ends in, and the extremes outside long runs.
        """
        before, length = self._open[channels], same.shape[1]
        self._number[channels] += length - np.count_nonzero(same, axis=1)
        whole = same.all(axis=1)
        heads = np.where(whole, length, same.argmin(axis=1))  # samples of the run before
        tails = 1 + same[:, ::-1].argmin(axis=1)  # of the run that goes on, as far as known
        row, start, end = long_runs(within)
        values = samples[row, start]
        other = between(heads, length - tails, length)
        if len(row):
            other &= ~in_long_runs(within)
        low, high = extremes_of(samples, other if finite is None else other & finite[channels])
        self._end_runs(channels, samples, heads)
        if len(row):
            shorter = longest_of(same & other)
            worth = self._worth_keeping(channels, (row, end - start), shorter)
            worth |= ~((low[row] <= values) & (values <= high[row]))
            extreme = (values <= low[row]) | (values >= high[row])
            self._keep(channels, samples, (row[worth], start[worth], end[worth], extreme[worth]))
        kept, number = self._kept[channels], self._number[channels]
        self._given_up[channels] = (kept >= MAX_HELD) & (kept * MIN_OTHERS > number)
        zero = (samples[:, 0] == 0) | (samples[:, -1] == 0)
        zero[row[values == 0]] = True
        self._weigh(channels, samples, other, np.flatnonzero(zero & (low < 0) & (high > 0)))
        return np.where(whole, before + length, tails), low, high

    def _end_runs(self, channels: np.ndarray, samples: Values, heads: np.ndarray) -> None:
        """Keep the runs of earlier blocks that end after `heads` samples of this one."""
        lengths = self._open[channels] + heads
        row = np.flatnonzero((lengths >= MIN_RUN) & (heads < samples.shape[1]))
        if not len(row):
            return
        begun = self._open[channels[row]]
        values = np.where(begun > 0, self._last[channels[row], 0], samples[row, 0])
        leap = leaps(values, samples, row, heads[row], 1)
        starts = self._seen - begun
        for index, *run in zip(
            *(each.tolist() for each in (channels[row], lengths[row], starts, values, leap)),
            strict=True,
        ):
            self._keep_run(index, Run(*run))

    def _worth_keeping(
        self, channels: np.ndarray, runs: tuple[np.ndarray, np.ndarray], shorter: np.ndarray
    ) -> np.ndarray:
        """Note the lengths of runs; return which are much longer than others of their channel."""
        row, lengths = runs[0], np.minimum(runs[1], MAX_LENGTH)
        bounds = np.searchsorted(row, np.arange(len(channels) + 1)).tolist()
        shortest = np.zeros(len(row))
        for index, first, last, short in zip(
            channels.tolist(), bounds[:-1], bounds[1:], shorter.tolist(), strict=True
        ):
            if first < last:
                sizes = {short, *lengths[first:last].tolist()}
                self._lengths.setdefault(index, {1}).update(sizes)
                shortest[first:last] = min(_outlasting(sorted(sizes)), MAX_LENGTH)
        worth: np.ndarray = lengths >= shortest
        return worth

    def _keep(self, channels: np.ndarray, samples: Values, runs: tuple[np.ndarray, ...]) -> None:
        """Keep runs: their rows, starts and ends, and which are at an extreme or beyond."""
        row, start, end, extreme = runs
        values = samples[row, start]
        leap = (values != 0) & extreme  # others are judged without
        asked = np.flatnonzero(leap)
        if len(asked):
            there = values[asked], samples, row[asked]
            leap[asked] = leaps(*there, end[asked], 1) & leaps(*there, start[asked] - 1, -1)
        kept = (channels[row], end - start, self._seen + start, values, leap)
        for index, *run in zip(*(each.tolist() for each in kept), strict=True):
            self._keep_run(index, Run(*run))

    def _keep_run(self, channel: int, run: Run) -> None:
        """Keep a run if it is among the longest."""
        runs = self._runs.setdefault(channel, [])
        self._lengths.setdefault(channel, {1}).add(min(run.length, MAX_LENGTH))
        (heappush if len(runs) < MAX_RUNS else heappushpop)(runs, run)
        self._kept[channel] = len(runs)

    def _weigh(
        self, channels: np.ndarray, samples: Values, other: np.ndarray, rows: np.ndarray
    ) -> None:
        """Add the samples of some rows that are outside long runs."""
        for row in rows.tolist():
            values = samples[row, other[row]]
            steps = values[1:] - values[:-1]
            weights = len(values), steps @ steps, values.sum(), values @ values
            self._weights[:, channels[row]] += weights

    def finish(self) -> None:
        """Note the runs that the recording ends in."""
        for index, length in enumerate(self._open.tolist()):
            value = float(self._last[index, 0])
            if length >= MIN_RUN:
                self._keep_run(index, Run(length, self._seen - length, value))
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
        runs = self._runs.get(index)
        low, high = float(self._low[index]), float(self._high[index])
        if not runs or self._given_up[index] or not low <= high:
            return []
        reach = FAR * (high - low)
        long = max(MIN_RUN, math.ceil(MIN_SECONDS * (self._rate or 0.0)))
        outlasting = max(long, _outlasting(sorted(self._lengths[index])))
        at_rest = rests or self._rests_at_zero(index, low, high)
        found = []
        for run in runs:
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
        if len(found) * MIN_OTHERS > self._number[index]:
            return []
        return sorted(found, key=lambda run: run.start)

    def extremes(self, index: int, *, without: list[Run]) -> tuple[float, float]:
        """Return the smallest and the largest finite sample of a channel outside some runs."""
        kept = {run.value for run in self._runs[index]} - {run.value for run in without}
        kept = {value for value in kept if math.isfinite(value)}
        low, high = float(self._low[index]), float(self._high[index])
        return min(kept | {low}), max(kept | {high})

    def _rests_at_zero(self, index: int, low: float, high: float) -> bool:
        """Whether zero is what a channel shows while nothing happens.

        So it is where the signal keeps to one side of zero and is zero for long, and where it moves
        too slowly to be an EMG signal.
        """
        if low >= 0 or high <= 0:
            zeros = sum(run.length for run in self._runs[index] if run.value == 0)
            return zeros >= REST_SHARE * self._seen
        others, differences, total, squares = self._weights[:, index].tolist()
        if not self._rate or not others:
            return False
        variance = squares / others - (total / others) ** 2
        frequency = self._rate / math.tau * math.sqrt(differences / others)
        return frequency < RESTS_BELOW * math.sqrt(max(variance, 0.0))


def _outlasting(lengths: list[int]) -> float:
    """Return the first of ascending lengths that is GAP times the one before; else infinity."""
    longest = 1
    for length in lengths:
        if length >= max(GAP * longest, MIN_RUN):
            return length
        longest = max(length, longest)
    return math.inf
