"""From values to pixels: ticks of a time axis, the range of a channel, and its course in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from worker.extraction.envelope import Mark
from worker.extraction.samples import Values

STEPS = (1, 2, 5, 10)
MAX_TICKS = 8
INSIDE = 4.0  # pixels that a row is higher than its signal, above and below
THIN = 2.0  # pixels: the least height of a signal, so that it is seen at half the size


def ticks(end: float) -> list[float]:
    """Return round values from 0 to `end` at most, evenly spaced; `end` is more than 0."""
    magnitude = 10.0 ** math.floor(math.log10(end / MAX_TICKS))
    step = next(
        (each * magnitude for each in STEPS if end / (each * magnitude) <= MAX_TICKS),
        10 * magnitude,
    )
    return [step * number for number in range(math.floor(end / step + 1e-9) + 1)]


def drawn_range(low: Values, high: Values, hidden: np.ndarray) -> tuple[float, float] | None:
    """Return the values that a channel is drawn between; None where none is finite.

    Args:
        low: the smallest sample of each column, of shape (columns,); NaN is a gap.
        high: the largest.
        hidden: columns that do not count, unless there is no other: a lost packet would hide the
            signal around it.
    """
    for counted in (~hidden, np.ones_like(hidden)):
        if np.isfinite(low[counted]).any():
            least, most = float(np.nanmin(low[counted])), float(np.nanmax(high[counted]))
            break
    else:
        return None
    if most > least:
        return least, most
    around = abs(most) / 2 or 1.0
    return least - around, most + around


def lossy_columns(marks: Iterable[Mark], columns: int, length: float) -> np.ndarray:
    """Return whether a column touches a dropout, of shape (columns,)."""
    lossy = np.zeros(columns, bool)
    for mark in marks:
        if mark.code == "dropout":
            first, last = (columns * at / length for at in (mark.start, mark.end))
            lossy[max(math.floor(first) - 1, 0) : max(math.ceil(last) + 1, 0)] = True
    return lossy


def course(
    low: Values,
    high: Values,
    between: tuple[float, float],
    *,
    width: int,
    top: float,
    height: float,
) -> tuple[Values, Values]:
    """Return the tops and bottoms of a channel in pixels, each of shape (width,).

    `between` are the values at the bottom and the top of the row, a little inside of its edges.

    Neighbouring columns touch each other, so the course has no gaps but those of the signal.
    """
    least, most = between
    top, height = top + INSIDE, height - 2 * INSIDE
    tops, bottoms = (
        np.clip(
            top + height * (most - _resampled(values, width)) / (most - least), top, top + height
        )
        for values in (high, low)
    )
    reached = np.fmin(tops[1:], bottoms[:-1]), np.fmax(bottoms[1:], tops[:-1])
    tops[1:] = np.where(np.isnan(tops[1:]), np.nan, reached[0])
    bottoms[1:] = np.where(np.isnan(bottoms[1:]), np.nan, reached[1])
    thin = np.maximum(THIN - (bottoms - tops), 0) / 2
    return tops - thin, bottoms + thin


def _resampled(values: Values, width: int) -> Values:
    """Return one value for each pixel; a few samples are joined by lines."""
    columns = len(values)
    if columns == width:
        return values
    pixels = (np.arange(width) + 0.5) * columns / width - 0.5
    return np.interp(pixels, np.arange(columns), values)
