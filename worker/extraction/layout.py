"""The layout of the data section, confirmed by the file's length.

A C3D file states most of its numbers twice, in the header and in parameters. Where the two
disagree, `resolve_layout` compares every combination with the one number that is certain: the
length of the file.

Source: the C3D manual, "The 3D Data Section".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from worker.extraction.errors import ContradictoryC3DError, TruncatedC3DError, UnfinishedC3DError
from worker.extraction.frames import WORD, Count, DeclaredFrames, declared_frames
from worker.extraction.reader import Metadata
from worker.extraction.section import BLOCK

POINT_WORDS = 4  # x, y, z and residual
MAX_ANALOG_WORDS = 65535  # per frame: header word 3 counts them in 16 bits


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the frames are: each frame holds all points, then all analog samples."""

    data_start: int  # offset of the first frame in the file, in bytes
    points: int  # per frame
    analog_words: int  # analog values per frame: channels times samples per frame
    samples_per_frame: int  # of each channel
    word_bytes: int  # 4: real, 2: integer
    count: Count

    @property
    def frames(self) -> int:
        """The number of frames."""
        return self.count.frames

    @property
    def frame_bytes(self) -> int:
        """The length of a frame in bytes."""
        return (self.points * POINT_WORDS + self.analog_words) * self.word_bytes

    @property
    def channels(self) -> int:
        """The number of analog channels."""
        return self.analog_words // self.samples_per_frame if self.samples_per_frame else 0

    def spare(self, size: int) -> int:
        """Return how many bytes of a file of `size` bytes follow the last frame.

        The number is negative where the file ends before it.
        """
        return size - self.data_start - self.frames * self.frame_bytes

    def is_confirmed(self, size: int) -> bool:
        """Whether a file of `size` bytes ends after the last frame, except for padding to a block.

        The length cannot confirm frames of zero bytes.
        """
        if self.frames and not self.frame_bytes:
            return False
        return 0 <= self.spare(size) < max(self.frame_bytes, BLOCK)


def resolve_layout(metadata: Metadata, size: int) -> Layout:
    """Find the layout that the file declares and its `size` in bytes confirms.

    Raises:
        TruncatedC3DError: the file ends before its last frame.
        UnfinishedC3DError: the file declares no frames but holds data.
        ContradictoryC3DError: the file contradicts itself, and its length does not decide.
    """
    declared = declared_frames(metadata)
    layouts = list(_declared_layouts(metadata, declared))
    if not layouts:
        raise ContradictoryC3DError("The file declares no possible number of frames.")
    if declared.doubtful or len(layouts) > 1:
        layout = _settled(layouts, size)
    else:
        layout = layouts[0]
        _check_length(layout, size)
    if layout.channels * layout.samples_per_frame != layout.analog_words:
        raise ContradictoryC3DError(
            f"The file stores {layout.analog_words:,} analog values a frame, which are not"
            f" {layout.samples_per_frame:,} samples of whole channels."
        )
    return layout


def _declared_layouts(metadata: Metadata, declared: DeclaredFrames) -> Iterable[Layout]:
    """Yield every combination of what the file declares, parameters before the header."""
    samples_per_frame = metadata.header_integer("analog_per_frame")
    used = metadata.integer("ANALOG:USED")
    words = None if used is None else used * samples_per_frame
    for start, points, analog_words, word_bytes, count in product(
        _data_starts(metadata),
        _distinct(metadata.integer("POINT:USED"), metadata.header_integer("point_count")),
        _distinct(
            words if words is not None and words <= MAX_ANALOG_WORDS else None,
            metadata.header_integer("analog_count"),
        ),
        _word_bytes(metadata),
        declared.counts,
    ):
        yield Layout(start, points, analog_words, samples_per_frame, word_bytes, count)


def _data_starts(metadata: Metadata) -> list[int]:
    """Return both pointers to the data, in bytes, or else the end of the parameters.

    A pointer of 0 counts as absent.
    """
    blocks = _distinct(metadata.header_integer("data_block"), metadata.integer("POINT:DATA_START"))
    starts = [(block - 1) * BLOCK for block in blocks]
    return [start for start in starts if start >= BLOCK] or [metadata.section.end]


def _word_bytes(metadata: Metadata) -> list[int]:
    """Return the bytes per value, from both scale factors: a negative one stands for reals."""
    scale = metadata.real("POINT:SCALE")
    return _distinct(
        None if scale is None else 4 if scale < 0 else 2,
        4 if metadata.header_real("scale_factor") < 0 else 2,
    )


def _distinct(*values: int | None) -> list[int]:
    return list(dict.fromkeys(value for value in values if value is not None and value >= 0))


def _settled(layouts: list[Layout], size: int) -> Layout:
    """Return the one layout that the length confirms: to the byte, or else with padding."""
    confirmed = [layout for layout in layouts if layout.is_confirmed(size)]
    exact = [layout for layout in confirmed if layout.spare(size) == 0]
    fitting = {
        (layout.frames, layout.analog_words): layout for layout in reversed(exact or confirmed)
    }
    if len(fitting) == 1:
        return fitting.popitem()[1]
    first = layouts[0]
    if all(layout.spare(size) < 0 for layout in layouts):
        raise _truncated(first, size)
    if all(layout.frames == 0 and layout.frame_bytes for layout in layouts):
        raise _unfinished(first, size)
    counts = sorted({layout.frames for layout in layouts})
    raise ContradictoryC3DError(
        f"The file declares {' or '.join(f'{count:,}' for count in counts)} frames, its header and"
        f" parameters disagree, and its length of {size:,} bytes does not settle it."
    )


def _check_length(layout: Layout, size: int) -> None:
    spare = layout.spare(size)
    if spare < 0:
        raise _truncated(layout, size)
    if not layout.frame_bytes or spare < layout.frame_bytes:
        return
    if layout.frames == 0:
        raise _unfinished(layout, size)
    if layout.count.wraps and spare >= WORD * layout.frame_bytes:
        raise ContradictoryC3DError(
            f"The file declares {layout.frames:,} frames, but its length of {size:,} bytes would"
            f" hold {spare // layout.frame_bytes:,} more: its 16-bit count wrapped at 65,536."
        )


def _truncated(layout: Layout, size: int) -> TruncatedC3DError:
    held = max(size - layout.data_start, 0) // (layout.frame_bytes or 1)
    return TruncatedC3DError(f"The file declares {layout.frames:,} frames but holds {held:,}.")


def _unfinished(layout: Layout, size: int) -> UnfinishedC3DError:
    held = (size - layout.data_start) // layout.frame_bytes
    return UnfinishedC3DError(f"The file declares no frames but holds {held:,}.")
