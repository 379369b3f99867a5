"""Where the verdicts on channels apply, as a picture shows it: in whole columns of the envelope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from worker.extraction.dropouts import Run
from worker.extraction.envelope import Mark
from worker.extraction.samples import Values


def marks(
    low: Values,
    high: Values,
    *,
    length: float,
    samples: int,
    dropouts: Mapping[int, Sequence[Run]],
    clipped: np.ndarray,
    limits: tuple[Values, Values],
) -> Iterator[Mark]:
    """Yield the stretches where samples were lost, and those where a clipped channel is cut off.

    Args:
        low: the smallest sample of each column, of shape (channels, columns); infinite: none.
        high: the largest.
        length: of the recording: in seconds, or in samples where its rate is unknown.
        samples: of each channel.
        dropouts: the lost samples by channel; other indices than those of `low` do not count.
        clipped: whether a channel is, of shape (channels or more,).
        limits: the samples from which on it is cut off, below and above, of the shape of `clipped`.
    """
    channels, columns = low.shape
    for index in range(channels):
        lost = np.zeros(columns, bool)
        for run in dropouts.get(index, ()):
            lost[run.start * columns // samples : (run.end - 1) * columns // samples + 1] = True
        yield from _stretches(index, "dropout", lost, length)
        if clipped[index]:
            cut = (low[index] <= limits[0][index]) | (high[index] >= limits[1][index])
            yield from _stretches(index, "clipped", cut & ~lost, length)


def _stretches(index: int, code: str, marked: np.ndarray, length: float) -> Iterator[Mark]:
    edges = np.flatnonzero(np.diff(marked, prepend=False, append=False)) * length / len(marked)
    for start, end in edges.reshape(-1, 2).tolist():
        yield Mark(index, start, end, code)
