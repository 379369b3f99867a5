"""Shares of a signal's power: mains hum within EMG's band, and motion below it.

Power spectra of stretches that are spread evenly over the recording are averaged (P. D. Welch,
1967), so neither time nor memory grows with a recording's length.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from worker.extraction.runs import repeats
from worker.extraction.samples import Values

EMG_BAND = (20.0, 450.0)  # Hz; SENIAM's and the CEDE matrix's band of surface EMG
MAINS = (50.0, 60.0)  # Hz
LINE = 1.0  # Hz on either side of the mains and of each harmonic
BESIDE_LINE = 4.0  # Hz: what is as strong from LINE to here as on the line is no hum
MIN_RATE = 900.0  # Hz: twice the end of the band
TARGET_RATE = 2000.0  # Hz: successive samples are averaged down to this rate, or up to twice it
MAX_STRETCHES = 16  # of a recording, of one to two seconds each
MAX_HELD = 16  # samples in a row that repeat the one before, in a stretch
MAX_VALUES = 2_000_000  # of one stretch of all channels, 16 MB; with more there are no shares


class Spectrum:
    """Adds up the power of every channel, block by block."""

    def __init__(self, judged: np.ndarray, samples: int, rate: float | None) -> None:
        """Expect `samples` samples in each channel, `rate` a second.

        `judged` says of which channels the shares are wanted, of shape (channels,).
        """
        self._judged = np.flatnonzero(judged)
        self._all = len(judged)
        channels, rate = len(self._judged), rate or 0.0
        self._step = max(int(rate / TARGET_RATE), 1)
        rate /= self._step
        self._length = 2 ** math.ceil(math.log2(max(rate, 2.0)))  # at least a second, for the FFT
        possible = samples // (self._length * self._step)
        fits = 0 < channels * self._length <= MAX_VALUES
        self._every = -(-possible // MAX_STRETCHES) if fits and rate >= MIN_RATE else 0
        self._count = 0  # of stretches that passed by
        self._parts: list[Values] = []  # of a stretch that blocks are too short for
        self._tainted = np.zeros(channels, bool)
        self._window, self._bands = _weights(self._length, rate) if self._every else _NONE
        self._power: Values = np.zeros((channels, self._bands.shape[1]))
        self._means: Values = np.zeros((channels, 3))  # sums of 1, and of the means, and squared

    def add(self, block: Values, same: np.ndarray) -> None:
        """Add the next samples, of shape (channels, n).

        `same` says which of them repeat the one before. Stretches with a longer run of these are
        left out: the edges of a dropout have power at every frequency.
        """
        if not self._every:
            return
        if len(self._judged) < len(block):
            block, same = block[self._judged], same[self._judged]
        if self._step > 1:
            fitting = block.shape[1] // self._step * self._step
            block = block[:, :fitting].reshape(len(block), -1, self._step).mean(axis=2)
        if block.shape[1] < self._length:
            self._piece_together(block, same)
            return
        number = block.shape[1] // self._length
        chosen = np.flatnonzero((self._count + np.arange(number)) % self._every == 0)
        self._count += number
        if len(chosen):
            stretches, repeated = (
                values[:, : number * length].reshape(len(values), number, length)[:, chosen]
                for values, length in ((block, self._length), (same, self._length * self._step))
            )
            self._take(stretches, _any(repeats(repeated, MAX_HELD)))

    def _piece_together(self, block: Values, same: np.ndarray) -> None:
        """Gather a stretch from blocks that are shorter; what exceeds it is dropped."""
        wanted = self._count % self._every == 0
        self._parts.append(block.copy() if wanted else block[:1])
        if wanted:
            self._tainted |= _any(repeats(same, MAX_HELD))
        if sum(part.shape[1] for part in self._parts) < self._length:
            return
        if wanted:
            stretch = np.concatenate(self._parts, axis=1)[:, None, : self._length]
            self._take(stretch, self._tainted[:, None])
        self._count += 1
        self._parts.clear()
        self._tainted[:] = False

    def _take(self, stretches: Values, tainted: np.ndarray) -> None:
        """Add stretches of shape (channels, number, samples), those that are not tainted.

        They are overwritten.
        """
        mean = stretches.mean(axis=2)
        stretches -= mean[:, :, None]
        stretches *= self._window
        parts = np.fft.rfft(stretches, axis=2).view(np.float64)  # real, imaginary, real …
        bands = np.square(parts, out=parts) @ self._bands
        left_out = tainted | ~np.isfinite(bands).all(axis=2) | ~np.isfinite(mean)
        bands[left_out] = 0.0
        mean[left_out] = 0.0
        self._power += bands.sum(axis=1)
        self._means[:, 0] += np.count_nonzero(~left_out, axis=1)
        self._means[:, 1] += mean.sum(axis=1)
        self._means[:, 2] += np.square(mean).sum(axis=1)

    def shares(self) -> Values:
        """Return the shares of mains and of motion, of shape (channels, 2); NaN where unknown.

        Mains is the share of the power in the EMG band on the lines of 50 Hz and its harmonics, or
        of 60 Hz and its, whichever is larger, without what lies as strong beside them. Motion is
        the share of all power, without the mean, that lies below the band.
        """
        every: Values = np.full((self._all, 2), np.nan)
        if not self._every:
            return every
        below, above, within, *lines = self._power.T
        with np.errstate(all="ignore"):
            number, total, squares = self._means.T
            # The means of the stretches hold what is too slow for a stretch to show.
            variance = np.maximum(squares / number - np.square(total / number), 0.0)
            # Two: the negative frequencies. As in the stretches, the window weighs the power.
            slow = variance * number * self._length * np.square(self._window).sum() / 2
            motion = (below + slow) / (below + slow + above)
            shares = np.stack([np.maximum(*lines) / within, motion], axis=1)
        shares[~np.isfinite(shares).all(axis=1)] = np.nan
        every[self._judged] = np.clip(shares, 0.0, 1.0)
        return every


def _any(flags: np.ndarray) -> np.ndarray:
    return np.asarray(flags.any(axis=-1))


_NONE: tuple[Values, Values] = np.zeros(0), np.zeros((0, 5))


@lru_cache(maxsize=8)
def _weights(length: int, rate: float) -> tuple[Values, Values]:
    """Return the window of a stretch, and the weights of the parts of its spectrum.

    These are of shape (2 * frequencies, 5), a real and an imaginary part for each: below, above and
    within the band, and on both mains.
    """
    frequencies = np.arange(length // 2 + 1) * rate / length
    above = frequencies >= EMG_BAND[0]
    within = above & (frequencies <= EMG_BAND[1])
    lines = []
    for mains in MAINS:
        harmonic = np.maximum(np.round(frequencies / mains), 1) * mains
        distance = np.where(within, np.abs(frequencies - harmonic), np.inf)
        on, beside = distance <= LINE, (distance > LINE) & (distance <= BESIDE_LINE)
        lines.append(on - beside * (on.sum() / max(beside.sum(), 1)))
    bands = np.stack([~above, above, within, *lines], axis=1).astype(np.float64)
    return np.hanning(length + 1)[:-1], np.repeat(bands, 2, axis=0)
