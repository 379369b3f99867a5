"""The rotations that a file may hold behind its points and analog samples.

Source: the C3D manual and the wiki of Visual3D, "The ROTATION Group": of each rotation 4 x 4 values
and a residual, always reals.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.extraction.rates import ratio_to_frames
from worker.extraction.reader import REAL_BYTES, Metadata
from worker.extraction.section import BLOCK

ROTATION_BYTES = 17 * REAL_BYTES


@dataclass(frozen=True, slots=True)
class Rotations:
    """Where rotations are declared to be, and how many."""

    start: int  # offset in the file, in bytes
    used: int  # in each of their frames
    ratio: int  # of their frames to the file's
    frames: int | None  # of rotations, where the file counts them

    def follow(self, data_start: int, frames: int, end: int) -> bool:
        """Whether the rotations of so many frames lie behind the data and fill the bytes to `end`.

        They do so to the block: what is left is padding.
        """
        number = frames * self.ratio
        if self.start < data_start or self.frames not in (None, number):
            return False
        frame_bytes = self.used * ROTATION_BYTES
        left = end - self.start - number * frame_bytes
        return number > 0 and frame_bytes > 0 and 0 <= left < max(frame_bytes, BLOCK)

    def exceed(self, frames: int, end: int) -> bool:
        """Whether the rotations of so many frames would go beyond `end`."""
        return self.start + frames * self.ratio * self.used * ROTATION_BYTES > end


def declared_rotations(metadata: Metadata) -> Rotations | None:
    """Return the rotations that the ROTATION group declares; None where it is absent or damaged."""
    block = metadata.integer("ROTATION:DATA_START")
    used = metadata.integer("ROTATION:USED")
    if not block or not used or block < 0 or used < 0:
        return None
    return Rotations(
        start=(block - 1) * BLOCK,
        used=used,
        ratio=_ratio(metadata),
        frames=metadata.integer("ROTATION:FRAMES"),
    )


def _ratio(metadata: Metadata) -> int:
    ratio = metadata.integer("ROTATION:RATIO") or ratio_to_frames(metadata, "ROTATION:RATE") or 1
    return max(ratio, 1)
