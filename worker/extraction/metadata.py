"""The technical row of a file, from its first bytes and its size.

A C3D file has two clocks: frames (POINT:RATE) and, faster by a whole factor, analog samples
(ANALOG:RATE). The columns `original_*` describe the recorded signal, the other three the frames.

Source: the C3D manual, "The POINT Group" and "The ANALOG Group".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from worker.extraction.confirmation import resolve_layout
from worker.extraction.errors import OverlongC3DError, TruncatedC3DError
from worker.extraction.frames import MAX_INTEGER
from worker.extraction.game import game_metadata
from worker.extraction.layout import Layout
from worker.extraction.rates import rates
from worker.extraction.reader import Metadata, shortest
from worker.extraction.section import PREFIX_BYTES


@dataclass(frozen=True, slots=True)
class TechnicalMetadata:
    """One row of `c3d_technical_data`, and what the file says about the game.

    Rates are in Hz, durations in seconds; `original_sample_count` is per channel. None stands for
    a value that the file does not state, or not plausibly.
    """

    original_sampling_rate: float | None
    original_duration_seconds: float | None
    original_sample_count: int | None
    channel_count: int
    channel_names: tuple[str, ...]
    sampling_rate: float | None
    duration_seconds: float | None
    frame_count: int | None
    game: Mapping[str, Any]

    def row(self) -> dict[str, Any]:
        """Return the eight columns in the table's order, reals as a REAL column holds them."""
        return {
            "original_sampling_rate": _real(self.original_sampling_rate),
            "original_duration_seconds": _real(self.original_duration_seconds),
            "original_sample_count": self.original_sample_count,
            "channel_count": self.channel_count,
            "channel_names": list(self.channel_names),
            "sampling_rate": _real(self.sampling_rate),
            "duration_seconds": _real(self.duration_seconds),
            "frame_count": self.frame_count,
        }


def read_metadata(prefix: bytes, size: int) -> TechnicalMetadata:
    """Read a file of `size` bytes from its first `min(size, PREFIX_BYTES)` bytes.

    Raises:
        C3DError: the file has no trustworthy row; the subclass says why.
    """
    metadata, layout = open_recording(prefix, size)
    return describe(metadata, layout)


def open_stream(stream: BinaryIO) -> tuple[Metadata, Layout]:
    """Read what `open_recording` needs from a file that was just opened.

    Raises:
        C3DError: as `read_metadata`.
        OSError: the file cannot be read.
    """
    return open_recording(stream.read(PREFIX_BYTES), os.fstat(stream.fileno()).st_size)


def open_recording(prefix: bytes, size: int) -> tuple[Metadata, Layout]:
    """Decode a file's metadata and confirm the layout of its data; arguments as `read_metadata`.

    Raises:
        C3DError: as `read_metadata`.
    """
    if len(prefix) < min(size, PREFIX_BYTES):
        raise TruncatedC3DError(
            f"Only {len(prefix):,} of the file's first {min(size, PREFIX_BYTES):,} bytes are there."
        )
    metadata = Metadata(prefix, size)
    return metadata, resolve_layout(metadata, size)


def describe(metadata: Metadata, layout: Layout) -> TechnicalMetadata:
    """Compute the technical row of a decoded file.

    Raises:
        RatesDisagreeC3DError: the two rates contradict the samples per frame.
        OverlongC3DError: a count is too large for its column.
    """
    frame_rate, analog_rate = rates(metadata, layout.channels, layout.samples_per_frame)
    frames = layout.frames or None
    samples = frames * layout.samples_per_frame if frames and layout.channels else None
    if max(frames or 0, samples or 0) > MAX_INTEGER:
        raise OverlongC3DError(
            f"The file declares {frames:,} frames of {layout.samples_per_frame:,} samples, more"
            f" than the {MAX_INTEGER:,} that a technical row can count."
        )
    return TechnicalMetadata(
        original_sampling_rate=analog_rate,
        original_duration_seconds=samples / analog_rate if samples and analog_rate else None,
        original_sample_count=samples,
        channel_count=layout.channels,
        channel_names=channel_names(metadata, layout.channels),
        sampling_rate=frame_rate,
        duration_seconds=frames / frame_rate if frames and frame_rate else None,
        frame_count=frames,
        game=game_metadata(metadata),
    )


def channel_names(metadata: Metadata, channels: int) -> tuple[str, ...]:
    """Return the first `channels` names of ANALOG:LABELS, LABELS2 …; '' where one is missing."""
    return channel_texts(metadata, "ANALOG:LABELS", channels)


def channel_texts(metadata: Metadata, parameter: str, channels: int) -> tuple[str, ...]:
    """Return one text per channel from a parameter and those that continue it; '' if missing."""
    texts = [text for name in metadata.continued(parameter) for text in metadata.texts(name)]
    texts += [""] * (channels - len(texts))
    return tuple(texts[:channels])


def _real(value: float | None) -> float | None:
    return None if value is None else shortest(value)
