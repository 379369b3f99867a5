"""Runs of one exact value in the samples of a block."""

from __future__ import annotations

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


def long_runs(within: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the row, the start and the end of the long runs that have both within the block.

    `within` is what `repeats` returns for a number of MIN_RUN - 1.
    """
    rows, length = within.shape
    inside = np.zeros((rows, length + 2), bool)
    inside[:, 1:-1] = within
    row, edge = np.divmod(np.flatnonzero(inside[:, 1:] != inside[:, :-1]), length + 1)
    row, start, end = row[::2], edge[::2] - 1, edge[1::2] + MIN_RUN - 2
    closed = (start >= 0) & (end < length + MIN_RUN - 2)
    return row[closed], start[closed], end[closed]


def in_long_runs(within: np.ndarray) -> np.ndarray:
    """Return which samples of a block are in long runs; `within` as for `long_runs`."""
    rows, length = within.shape
    inside = np.zeros((rows, length + MIN_RUN - 1), bool)  # and the sample before the block
    inside[:, :length] = within
    reach = 1
    while reach < MIN_RUN:
        step = min(reach, MIN_RUN - reach)
        inside[:, step:] |= inside[:, :-step]
        reach += step
    return inside[:, 1:]


def between(first: np.ndarray, last: np.ndarray, length: int) -> np.ndarray:
    """Return which of `length` samples are in [first, last) of each row."""
    place, edges = np.arange(length, dtype=np.int32), np.stack([first, last]).astype(np.int32)
    inside: np.ndarray = (place >= edges[0, :, None]) & (place < edges[1, :, None])
    return inside


def longest_of(same: np.ndarray) -> np.ndarray:
    """Return the length of the longest run of each row, as far as it is short."""
    length, inside = np.ones(len(same), np.int64), same
    while (some := inside.any(axis=1)).any():
        length += some
        inside = inside[:, 1:] & same[:, : inside.shape[1] - 1]
    return length


def leaps(
    values: Values, samples: Values, row: np.ndarray, first: np.ndarray, step: int
) -> np.ndarray:
    """Return whether the way from runs' values to the samples beside them is a leap.

    These are in rows of `samples` and begin at `first`; `step` is 1 after a run, -1 before it. It
    is a leap, too, where nothing is beside a run.
    """
    last = samples.shape[1] - 1
    places = np.clip(first[:, None] + step * np.arange(NEXT_TO), 0, last)
    beside = samples[row[:, None], places]
    steps = np.abs(np.diff(beside, axis=1)).max(axis=1)
    found: np.ndarray = np.abs(beside[:, 0] - values) > LEAP * steps
    found |= (first < 0) | (first > last)
    return found
