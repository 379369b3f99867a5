"""Runs of one exact value in the samples of a block."""

from __future__ import annotations

import math

import numpy as np

from worker.extraction.samples import Values

# Shorter runs are not looked at. GHOSTLY loses packets of 30 samples; raw EMG channels of 27
# recordings repeat a value 5 times at most, coarse ones and quiet force plates up to 50 times.
MIN_RUN = 8  # samples
LEAP = 3.0  # times the largest step between the samples next to a run
NEXT_TO = 16  # samples


def repeats(same: np.ndarray, number: int) -> np.ndarray:
    """Return where `number` samples in a row repeat the one before; the last axis gets shorter."""
    reach = 1
    while reach < number:
        step = min(reach, number - reach)
        same = same[..., step:] & same[..., :-step]
        reach += step
    return same


def long_runs(same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where long runs start and end that do so within the block."""
    inside = np.zeros(len(same) + 2, bool)
    within = repeats(same, MIN_RUN - 1)
    inside[1 : 1 + len(within)] = within
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = edges[::2] - 1, edges[1::2] + MIN_RUN - 2
    closed = (starts >= 0) & (ends < len(same))
    return starts[closed], ends[closed]


def outside(bounds: np.ndarray, length: int) -> np.ndarray:
    """Return which of `length` samples are in the pieces that begin and end at `bounds`."""
    ends = np.concatenate((bounds, [length]))
    return np.repeat(np.arange(len(ends)) % 2 == 1, np.diff(ends, prepend=0))


def extremes_of(samples: Values, pieces: np.ndarray) -> tuple[float, float]:
    """Return the extremes of finite samples in pieces of shape (number, 2); else infinities."""
    pieces = pieces[pieces[:, 0] < pieces[:, 1]]
    if not len(pieces):
        return math.inf, -math.inf
    if not np.isfinite(samples.sum()):
        samples = np.where(np.isfinite(samples), samples, np.nan)
    low = np.fmin.reduceat(samples, pieces.ravel())[::2]
    high = np.fmax.reduceat(samples, pieces.ravel())[::2]
    return float(np.fmin(np.inf, low).min()), float(np.fmax(-np.inf, high).max())


def longest_of(same: np.ndarray) -> int:
    """Return the length of the longest run, as far as it is short."""
    length, inside = 1, same
    while inside.any():
        length += 1
        inside = inside[1:] & same[: len(inside) - 1]
    return length


def leaps_to(value: float, beside: Values) -> bool:
    """Whether the way from a run's value to the samples beside it, the nearest first, is a leap.

    It is one, too, where nothing is beside it.
    """
    steps = np.abs(np.diff(beside))
    return not len(steps) or bool(abs(beside[0] - value) > LEAP * steps.max())
