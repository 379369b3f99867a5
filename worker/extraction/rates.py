"""The rates of frames and of analog samples, where the file states them plausibly.

Source: the C3D manual, "POINT:RATE" and "ANALOG:RATE": the analog rate is the frame rate times the
samples of each channel in a frame.
"""

from __future__ import annotations

import math

from worker.extraction.errors import RatesDisagreeC3DError
from worker.extraction.reader import Metadata

MIN_RATE, MAX_RATE = 0.01, 1e6  # Hz, of a plausible rate
# Relative: 33.3333 times 30 stands for 1000, and 59.94 times 20 for 1200, as it does in television.
RATIO_TOLERANCE = 1.01e-3


def ratio_to_frames(metadata: Metadata, parameter: str) -> int | None:
    """Return how many times the frame rate the rate in `parameter` is; None if not whole times.

    Of ANALOG:RATE it is the samples of each channel in a frame.
    """
    frames, rate = _frame_rate(metadata), _plausible(metadata.real(parameter))
    if not frames or not rate:
        return None
    ratio = round(rate / frames)
    return ratio if ratio and agree(frames * ratio, rate) else None


def rates(
    metadata: Metadata, channels: int, samples_per_frame: int
) -> tuple[float | None, float | None]:
    """Return the rates of frames and of analog samples in Hz; None where not plausible.

    Where the analog rate confirms the header's frame rate and not POINT:RATE, the frame rate is in
    doubt alone: None.

    Raises:
        RatesDisagreeC3DError: the analog rate is in doubt.
    """
    frame_rate = _frame_rate(metadata)
    if not channels:
        return frame_rate, None
    declared = metadata.real("ANALOG:RATE")
    if declared is None:
        return frame_rate, _plausible(frame_rate * samples_per_frame if frame_rate else None)
    analog_rate = _plausible(declared)
    frame_rate = frame_rate or _plausible(declared / samples_per_frame)
    if not frame_rate or not analog_rate or agree(frame_rate * samples_per_frame, analog_rate):
        return frame_rate, analog_rate
    if agree(metadata.header_real("frame_rate") * samples_per_frame, analog_rate):
        return None, analog_rate
    raise RatesDisagreeC3DError(
        f"The file declares {analog_rate:g} Hz analog and {frame_rate:g} Hz frames, but holds"
        f" {samples_per_frame:,} samples a frame."
    )


def agree(one: float, other: float) -> bool:
    """Whether two rates are the same, apart from their rounding."""
    return math.isclose(one, other, rel_tol=RATIO_TOLERANCE)


def _frame_rate(metadata: Metadata) -> float | None:
    return _plausible(metadata.real("POINT:RATE")) or _plausible(metadata.header_real("frame_rate"))


def _plausible(rate: float | None) -> float | None:
    return rate if rate is not None and MIN_RATE <= rate <= MAX_RATE else None
