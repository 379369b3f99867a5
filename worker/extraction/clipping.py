"""Tells clipping from a signal that merely has an extreme.

A signal seldom reaches its extreme, and reaches the values just inside more often. Where an
amplifier or a converter limits it, the extreme is reached again and again, and hardly anything lies
just inside. That needs no knowledge of the converter, which most files do not state.
"""

from __future__ import annotations

import numpy as np

from worker.extraction.samples import Values

# Shares of the span, counted from each extreme: at the limit, just inside, and inside.
AT = 1e-3  # filters make saturated reals vary this much
JUST_INSIDE = 1e-2
INSIDE = 5e-2
# With few distinct values these hold the next one and the one after it as well.
NEXT_STEP, SECOND_STEP = 1.5, 2.5  # steps
# Any smooth peak is flat at its top: about √a of its samples lie within a share a of its height.
DENSER = 1.5  # times as many as that are at a limit
MIN_SAMPLES = 6  # at the limits; an EMG channel of the labelled list has 8, all single peaks
MIN_TOUCHES = 2  # at the same limit: every signal has one largest sample
MIN_SHARE = 1e-4  # of the samples: 0.1 s in a quarter of an hour
MAX_SHARE = 0.5  # at one extreme: above, the channel rests there


class RailCounts:
    """Counts the samples near the extremes, which the first pass has found."""

    def __init__(
        self, low: Values, high: Values, levels: np.ndarray, limits: Values | None
    ) -> None:
        """Count near the extremes `low` and `high`, of shape (channels,).

        Args:
            low: the smallest samples.
            high: the largest samples.
            levels: number of distinct values of each channel, or a lower bound.
            limits: what the converter can reach, of shape (2, channels, 1); None: not stated.
        """
        span = np.where(low <= high, high - low, np.inf)
        stated = np.zeros((2, len(low)), bool)
        if limits is not None:
            stated = np.stack([low <= limits[0, :, 0], high >= limits[1, :, 0]])
        steps = span / np.maximum(levels - 1, 1)
        at = np.broadcast_to(AT * span, stated.shape)
        if limits is not None:  # which are exact, and may lie a step inside
            reach = np.stack([limits[0, :, 0] - low, high - limits[1, :, 0]])
            at = np.where(stated, reach, at)
        just = np.broadcast_to(np.maximum(JUST_INSIDE * span, NEXT_STEP * steps), at.shape)
        inside = np.broadcast_to(np.maximum(INSIDE * span, SECOND_STEP * steps), at.shape)
        self._widths = np.stack([at, just, inside], axis=1)  # of shape (2, 3, channels)
        rests = np.stack([low == 0, high == 0]) & ~stated  # where a rectified signal rests
        self._low = np.where(rests[0] | ~np.isfinite(span), -np.inf, low)
        self._high = np.where(rests[1] | ~np.isfinite(span), np.inf, high)
        self._stated = stated
        with np.errstate(all="ignore"):  # what share of a smooth peak its highest step holds
            self._smooth = np.sqrt(np.maximum(AT * span, steps) / inside)
        self._counts = np.zeros(self._widths.shape, np.int64)
        self._limiting = stated  # known in the end

    def add(self, block: Values) -> None:
        """Count the next samples, of shape (channels, n)."""
        starts = np.arange(len(block) + 1) * block.shape[1]
        for side, edge in enumerate((self._low, self._high)):
            inner = (edge + (1 - 2 * side) * self._widths[side, 2])[:, None]
            near = np.flatnonzero(block >= inner if side else block <= inner)
            bounds = np.searchsorted(near, starts)
            numbers = np.diff(bounds)
            rows = np.flatnonzero(numbers)
            if not len(rows):
                continue
            distance = np.abs(block.ravel()[near] - np.repeat(edge, numbers))
            within = distance <= np.repeat(self._widths[side], numbers, axis=1)
            self._counts[side][:, rows] += np.add.reduceat(within, bounds[rows], 1, np.int64)

    def at_limits(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how many samples are at a limit, and whether that is clipping.

        Both are of shape (channels,), as is `numbers`, how many samples there are.
        """
        at, just, inside = self._counts.swapaxes(0, 1)
        limited = (at >= MIN_TOUCHES) & (at <= MAX_SHARE * numbers)
        limited &= (2 * at > just) & (at >= DENSER * self._smooth * inside)
        self._limiting = limited | self._stated
        at_limits = np.where(self._limiting, at, 0).sum(axis=0)
        return at_limits, at_limits >= np.maximum(MIN_SAMPLES, MIN_SHARE * numbers)

    def limits(self) -> tuple[Values, Values]:
        """Return the samples from which on a channel is at a limit, below and above, once counted.

        Both are of shape (channels,), infinite where there is none.
        """
        below, above = self._low + self._widths[0, 0], self._high - self._widths[1, 0]
        return (
            np.where(self._limiting[0], below, -np.inf),
            np.where(self._limiting[1], above, np.inf),
        )
