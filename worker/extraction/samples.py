"""Decodes and scales the analog samples of a recording, block by block in bounded memory.

Source: the C3D manual, "The 3D Data Section" and "The ANALOG Group": a sample in its unit is
(stored value - ANALOG:OFFSET) * ANALOG:SCALE * ANALOG:GEN_SCALE.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, TypeAlias

import numpy as np
from c3d.c3d import DEC_to_IEEE_BYTES
from numpy.typing import NDArray

from worker.extraction.errors import TruncatedC3DError
from worker.extraction.layout import POINT_WORDS, Layout
from worker.extraction.reader import REAL_BYTES, Metadata
from worker.extraction.section import DEC, MIPS

Values: TypeAlias = NDArray[np.float64]

BLOCK_BYTES = 256 * 1024  # read at once, in whole frames; a frame has at most 1.3 MB
MAX_WORD = 16  # bits of a sample
WORDS = (8, 10, 12, 14)  # bits of the samples of smaller converters
MIN_SIGNED = -32768  # C3D's signed integers end at -32767, so as an OFFSET this means +32768


@dataclass(frozen=True, slots=True)
class Scaling:
    """Converts stored values to samples in their unit; arrays of shape (channels, 1)."""

    offset: Values
    factor: Values
    unsigned: bool  # of stored integers; has no meaning for reals

    def apply(self, stored: Values) -> Values:
        """Scale stored values of shape (channels, n) in place, and return them."""
        stored -= self.offset
        stored *= self.factor
        return stored


def read_scaling(metadata: Metadata, channels: int) -> Scaling:
    """Return the scaling of the ANALOG group; factor 1 and offset 0 where it declares none."""
    unsigned = "UNSIGNED" in (text.upper() for text in metadata.texts("ANALOG:FORMAT"))
    offsets = [
        abs(value) if value == MIN_SIGNED else value
        for name in metadata.continued("ANALOG:OFFSET")
        for value in metadata.numbers(name, signed=not unsigned)
    ]
    scales = [
        value for name in metadata.continued("ANALOG:SCALE") for value in metadata.numbers(name)
    ]
    general = metadata.real("ANALOG:GEN_SCALE")
    return Scaling(
        offset=_column(offsets, channels, missing=0.0),
        factor=_column(scales, channels, missing=1.0) * (1.0 if general is None else general),
        unsigned=unsigned,
    )


def known_rails(
    metadata: Metadata, layout: Layout, scaling: Scaling, extremes: Values
) -> Values | None:
    """Return the smallest and the largest possible sample, of shape (2, channels, 1), scaled.

    They are the limits of the analog-to-digital converter. Where ANALOG:BITS is absent, it is the
    smallest that can have made the `extremes`, the smallest and the largest sample of each channel,
    of the same shape. For reals the file does not state them: None.
    """
    if layout.word_bytes == REAL_BYTES:
        return None
    if bits := metadata.integer("ANALOG:BITS"):
        return _rails(scaling, min(bits, MAX_WORD))
    step = np.abs(scaling.factor)  # the least of signed integers lies one below the lower rail
    low, high = rails = _rails(scaling, np.array([*WORDS, MAX_WORD])[:, None, None])
    holds = (low - step <= extremes[0]) & (extremes[1] <= high + step)
    holds[-1] = True
    smallest: Values = np.take_along_axis(rails, holds.argmax(axis=0)[None, None], axis=1)[:, 0]
    return smallest


def _rails(scaling: Scaling, bits: int | np.ndarray) -> Values:
    """Return the limits of a converter of so many bits; signed, as far below zero as above.

    They are of shape (2, channels, 1), or for `bits` of shape (n, 1, 1) of (2, n, channels, 1).
    """
    span = 2.0**bits
    # A 12-bit converter that counts 0 … 4095 is often stored as signed, with an OFFSET of 2048.
    offset_binary = (np.abs(scaling.offset - span / 2) <= 1) | scaling.unsigned
    lowest = np.where(offset_binary, 0.0, 1 - span / 2)
    highest = np.where(offset_binary, span, span / 2) - 1
    return np.sort(np.stack([scaling.apply(lowest), scaling.apply(highest)]), axis=0)


def sample_blocks(
    stream: BinaryIO, metadata: Metadata, layout: Layout, scaling: Scaling
) -> Iterator[Values]:
    """Yield all samples, in order, as arrays of shape (channels, n) in the channels' units.

    The next array takes the place of the one before in memory: new memory costs more than decoding.

    Raises:
        TruncatedC3DError: the stream ends before the last frame.
    """
    processor = metadata.section.processor
    kind = "f4" if layout.word_bytes == REAL_BYTES else "u2" if scaling.unsigned else "i2"
    dtype = np.dtype((">" if processor == MIPS else "<") + kind)
    at_once = min(max(BLOCK_BYTES // layout.frame_bytes, 1), layout.frames)
    memory = np.empty(layout.channels * layout.samples_per_frame * at_once)
    stream.seek(layout.data_start)
    for first in range(0, layout.frames, at_once):
        frames = min(at_once, layout.frames - first)
        block = stream.read(frames * layout.frame_bytes)
        if len(block) < frames * layout.frame_bytes:
            raise TruncatedC3DError(
                f"The file declares {layout.frames:,} frames but ends after"
                f" {first + len(block) // layout.frame_bytes:,}."
            )
        if processor == DEC and layout.word_bytes == REAL_BYTES:
            words = DEC_to_IEEE_BYTES(block)
        else:
            words = np.frombuffer(block, dtype)
        analog = words.reshape(frames, -1)[:, layout.points * POINT_WORDS :]
        by_channel = analog.reshape(-1, layout.channels).T
        samples = memory[: by_channel.size].reshape(by_channel.shape)
        with np.errstate(all="ignore"):  # the values may be anything, a signalling NaN included
            samples[:] = by_channel
            yield scaling.apply(samples)


class Extremes(NamedTuple):
    """The smallest and the largest finite sample of each channel of a block; else infinities."""

    low: Values  # of shape (channels,)
    high: Values
    finite: np.ndarray | None  # which samples are, of the block's shape; None: all


def block_extremes(block: Values) -> Extremes:
    """Return the extremes of a block of shape (channels, n)."""
    low, high = block.min(axis=1), block.max(axis=1)
    if np.isfinite(low).all() and np.isfinite(high).all():
        return Extremes(low, high, None)
    finite = np.isfinite(block)
    return Extremes(*extremes_of(block, finite), finite)


def extremes_of(block: Values, counted: np.ndarray) -> tuple[Values, Values]:
    """Return the extremes of the samples that count, of shape (channels,); else infinities."""
    low: Values = block.min(axis=1, where=counted, initial=np.inf)
    return low, block.max(axis=1, where=counted, initial=-np.inf)


def _column(values: list[float], channels: int, *, missing: float) -> Values:
    filled = values[:channels] + [missing] * (channels - len(values))
    return np.array(filled, dtype=np.float64).reshape(channels, 1)
