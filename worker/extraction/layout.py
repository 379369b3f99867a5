"""The layouts of the data section that a file declares.

A C3D file states most of its numbers twice, in the header and in parameters. Where the two
disagree, each combination is a layout of its own, and `confirmation` compares them with the file's
length.

Source: the C3D manual, "The 3D Data Section".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from worker.extraction.frames import Count
from worker.extraction.rates import ratio_to_frames
from worker.extraction.reader import Metadata
from worker.extraction.rotations import declared_rotations
from worker.extraction.section import BLOCK

POINT_WORDS = 4  # x, y, z and residual
MAX_ANALOG_WORDS = 65535  # per frame: header word 3 counts them in 16 bits


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the frames are: each frame holds all points, then all analog samples."""

    data_start: int  # offset of the first frame in the file, in bytes
    data_end: int  # offset of what follows the data: rotations, parameters, or the file's end
    points: int  # per frame
    analog_words: int  # analog values per frame: channels times samples per frame
    samples_per_frame: int  # of each channel
    word_bytes: int  # 4: real, 2: integer
    frames: int
    against_header: bool = False  # only the rates imply the samples, see `_analog_words`
    rotations_follow: bool = False  # declared ones of as many frames, and nothing after them

    @property
    def words(self) -> int:
        """The number of values in a frame."""
        return self.points * POINT_WORDS + self.analog_words

    @property
    def frame_bytes(self) -> int:
        """The length of a frame in bytes."""
        return self.words * self.word_bytes

    @property
    def channels(self) -> int:
        """The number of analog channels."""
        return self.analog_words // self.samples_per_frame if self.samples_per_frame else 0

    @property
    def spare(self) -> int:
        """The bytes between the last frame and what follows; negative where that comes too soon."""
        return self.data_end - self.data_start - self.frames * self.frame_bytes

    @property
    def is_confirmed(self) -> bool:
        """Whether the data end after the last frame, except for padding to a block.

        Frames of zero bytes are confirmed by their rotations or by nothing.
        """
        if self.frames and not self.frame_bytes:
            return self.rotations_follow
        return 0 <= self.spare < max(self.frame_bytes, BLOCK)


def declared_layouts(metadata: Metadata, counts: tuple[Count, ...], size: int) -> Iterator[Layout]:
    """Yield every combination of what a file of `size` bytes declares, parameters first."""
    rotations = declared_rotations(metadata)
    for start, points, (words, samples, against_header), word_bytes, count in product(
        _data_starts(metadata),
        _distinct(metadata.integer("POINT:USED"), metadata.header_integer("point_count")),
        _analog_words(metadata),
        _word_bytes(metadata),
        counts,
    ):
        parameters = metadata.section.start  # they may lie behind the data
        end = parameters if parameters > start else size
        follow = bool(rotations and rotations.follow(start, count.frames, end))
        yield Layout(
            data_start=start,
            data_end=rotations.start if rotations and follow else end,
            points=points,
            analog_words=words,
            samples_per_frame=samples,
            word_bytes=word_bytes,
            frames=count.frames,
            against_header=against_header,
            rotations_follow=follow,
        )


def _data_starts(metadata: Metadata) -> list[int]:
    """Return both pointers to the data, in bytes, or else the end of the parameters.

    A pointer of 0 counts as absent.
    """
    blocks = _distinct(metadata.header_integer("data_block"), metadata.integer("POINT:DATA_START"))
    starts = [(block - 1) * BLOCK for block in blocks]
    return [start for start in starts if start >= BLOCK] or [metadata.section.end]


def _analog_words(metadata: Metadata) -> list[tuple[int, int, bool]]:
    """Return the analog values of a frame, with the samples of a channel among them.

    The header states the samples, and the rates imply them: some writers leave the header's words
    at 0. The third element says whether only the rates do, against a header that ANALOG:USED
    confirms.
    """
    words = metadata.header_integer("analog_count")
    in_header = metadata.header_integer("analog_per_frame")
    by_rates = ratio_to_frames(metadata, "ANALOG:RATE") or 0
    used = max(metadata.integer("ANALOG:USED") or 0, 0)
    stated = metadata.integer("ANALOG:USED") is not None
    against = 0 < words == used * in_header
    pairs = [(used * in_header, in_header, False)] if stated else []
    pairs += [(words, in_header or by_rates, False)]
    pairs += [(used * by_rates, by_rates, against)] if stated and by_rates else []
    distinct = {
        (words, samples if words else 0): against
        for words, samples, against in reversed(pairs)
        if words <= MAX_ANALOG_WORDS
    }
    return [(*pair, against) for pair, against in reversed(distinct.items())]


def _word_bytes(metadata: Metadata) -> list[int]:
    """Return the bytes per value, from both scale factors: a negative one stands for reals."""
    scale = metadata.real("POINT:SCALE")
    return _distinct(
        None if scale is None else 4 if scale < 0 else 2,
        4 if metadata.header_real("scale_factor") < 0 else 2,
    )


def _distinct(*values: int | None) -> list[int]:
    return list(dict.fromkeys(value for value in values if value is not None and value >= 0))
