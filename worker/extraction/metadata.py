"""From a file's first bytes and its size to its technical row.

Two clocks run in a C3D file: frames (POINT:RATE) and, a whole number of times faster, analog
samples (ANALOG:RATE). `original_*` is the recorded signal, the other three are the frame clock.

Source: the C3D manual, "The POINT Group" and "The ANALOG Group".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.errors import ContradictoryC3DError, TruncatedC3DError
from worker.extraction.frames import LARGEST
from worker.extraction.game import game_metadata
from worker.extraction.layout import Layout, resolve_layout
from worker.extraction.reader import Metadata, shortest
from worker.extraction.section import PREFIX_BYTES

SLOWEST, FASTEST = 0.01, 1e6  # Hz
RATIO_TOLERANCE = 1e-3  # rates are float32: 33.3333 times 30 stands for 1000


@dataclass(frozen=True, slots=True)
class TechnicalMetadata:
    """One row of `c3d_technical_data`, and what the file says of the game.

    Rates are in Hz, durations in seconds, counts per channel.
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
        """The eight columns in the table's order, numbers as a REAL column holds them."""
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
        C3DError: One of its kinds says why the file has no trustworthy row.
    """
    metadata, layout = open_recording(prefix, size)
    return describe(metadata, layout)


def open_recording(prefix: bytes, size: int) -> tuple[Metadata, Layout]:
    """Decode a file's metadata and confirm the layout of its data.

    Raises:
        C3DError: See `read_metadata`.
    """
    if len(prefix) < min(size, PREFIX_BYTES):
        raise TruncatedC3DError(
            f"Only {len(prefix):,} of the file's first {min(size, PREFIX_BYTES):,} bytes are there."
        )
    metadata = Metadata(prefix, size)
    return metadata, resolve_layout(metadata, size)


def describe(metadata: Metadata, layout: Layout) -> TechnicalMetadata:
    """Put a decoded file into the table's terms.

    Raises:
        ContradictoryC3DError: Its two rates contradict its samples a frame.
    """
    frame_rate, analog_rate = _rates(metadata, layout)
    frames = layout.frames or None
    samples = frames * layout.samples_per_frame if frames and layout.channels else None
    if max(frames or 0, samples or 0) > LARGEST:
        raise ContradictoryC3DError(
            f"The file declares {frames:,} frames of {layout.samples_per_frame:,} samples, more"
            f" than the {LARGEST:,} that a technical row can count."
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
    """The first `channels` of ANALOG:LABELS, LABELS2 …; '' where blank or missing."""
    return channel_texts(metadata, "ANALOG:LABELS", channels)


def channel_texts(metadata: Metadata, parameter: str, channels: int) -> tuple[str, ...]:
    """One text a channel from a parameter and those it continues in."""
    texts = [text for name in metadata.continued(parameter) for text in metadata.texts(name)]
    texts += [""] * (channels - len(texts))
    return tuple(texts[:channels])


def _rates(metadata: Metadata, layout: Layout) -> tuple[float | None, float | None]:
    """The rates of frames and of analog samples in Hz, where plausible."""
    per_frame = layout.samples_per_frame
    declared = metadata.real("ANALOG:RATE") if layout.channels else None
    frame_rate = (
        _plausible(metadata.real("POINT:RATE"))
        or _plausible(metadata.header_real("frame_rate"))
        or _plausible(declared / per_frame if declared is not None else None)
    )
    if not layout.channels:
        return frame_rate, None
    if declared is None:
        return frame_rate, _plausible(frame_rate * per_frame if frame_rate else None)
    analog_rate = _plausible(declared)
    if (
        frame_rate
        and analog_rate
        and not math.isclose(frame_rate * per_frame, analog_rate, rel_tol=RATIO_TOLERANCE)
    ):
        raise ContradictoryC3DError(
            f"The file declares {analog_rate:g} Hz analog and {frame_rate:g} Hz frames, but holds"
            f" {per_frame:,} samples a frame."
        )
    return frame_rate, analog_rate


def _plausible(rate: float | None) -> float | None:
    return rate if rate is not None and SLOWEST <= rate <= FASTEST else None


def _real(value: float | None) -> float | None:
    return None if value is None else shortest(value)
