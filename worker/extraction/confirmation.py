"""Finds the one layout that a file declares and its length confirms.

The length is the only number that is certain. So a layout that all places agree on may leave bytes
behind the data, but a layout that is taken over others must explain every byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from worker.extraction.errors import (
    C3DError,
    ChannelsUnclearC3DError,
    ContradictoryC3DError,
    OverlongC3DError,
    TruncatedC3DError,
    UnfinishedC3DError,
)
from worker.extraction.frames import WORD, DeclaredFrames, declared_frames
from worker.extraction.layout import Layout, declared_layouts
from worker.extraction.reader import Metadata
from worker.extraction.rotations import declared_rotations
from worker.extraction.section import BLOCK


def resolve_layout(metadata: Metadata, size: int) -> Layout:
    """Find the layout that the file declares and its `size` in bytes confirms.

    Frames that hold nothing cannot be counted: unless rotations confirm their number, it is 0.

    Raises:
        TruncatedC3DError: the file ends before its last frame.
        UnfinishedC3DError: the file declares no frames.
        ContradictoryC3DError: the file contradicts itself, and its length does not decide; the
            subclass says about what.
    """
    declared = declared_frames(metadata)
    layouts = list(declared_layouts(metadata, declared.counts, size))
    if not layouts:
        raise ContradictoryC3DError("The file declares no possible number of frames.")
    first = layouts[0]
    if all(layout.frames == 0 for layout in layouts):
        raise _unfinished(first)
    if declared.doubtful or len(layouts) > 1:
        layout = _settled(layouts, declared, size)
    elif not first.frame_bytes:
        layout = _without_bytes(first, metadata, size)
    else:
        layout = first
        _check_length(layout, size, alone=declared.alone or _loses_channels(metadata))
    if not layout.analog_words and metadata.integer("ANALOG:USED"):
        raise ChannelsUnclearC3DError(
            "The file declares analog channels, but no samples of them that its length confirms."
        )
    if layout.channels * layout.samples_per_frame != layout.analog_words:
        raise ChannelsUnclearC3DError(
            f"The file stores {layout.analog_words:,} analog values a frame, which are not"
            f" {layout.samples_per_frame:,} samples of whole channels."
        )
    return layout


def _settled(layouts: list[Layout], declared: DeclaredFrames, size: int) -> Layout:
    """Return the one layout that the length confirms: to the byte, or else with padding."""
    confirmed = [layout for layout in layouts if layout.is_confirmed]
    exact = [layout for layout in confirmed if layout.spare == 0]
    fitting = {
        (layout.frames, layout.analog_words, layout.samples_per_frame): layout
        for layout in reversed(exact or confirmed)
    }
    if len(fitting) != 1:
        raise _unsettled(layouts, declared, size)
    layout = fitting.popitem()[1]
    # A cut can leave as much as the least of the declarations says. So a shorter frame is taken
    # over others only where it is confirmed to the byte, and a lesser count not at all; but one
    # frame too many is a way of counting. Rates that contradict the header refuse by themselves.
    longer = [each for each in layouts if each.words > layout.words and not each.against_header]
    if longer and layout.spare:
        raise _unsettled(layouts, declared, size)
    most = max(count.frames for count in declared.counts)
    if most > layout.frames + (layout.spare == 0):
        raise ContradictoryC3DError(
            f"The file declares {most:,} frames in one place and {layout.frames:,} in another, and"
            f" holds {layout.frames:,}."
        )
    return layout


def _unsettled(layouts: list[Layout], declared: DeclaredFrames, size: int) -> C3DError:
    first = layouts[0]
    if all(layout.spare < 0 for layout in layouts):
        return _truncated(first)
    analog = {layout.analog_words: None for layout in layouts}
    if len(layouts) == 1 and first.frame_bytes and declared.counts[0].saturated:
        return OverlongC3DError(
            f"The file declares {first.frames:,} frames, the most that its counts can say, and its"
            f" length of {size:,} bytes would hold {first.spare // first.frame_bytes:,} more."
        )
    unsettled = f"and its length of {size:,} bytes does not settle it."
    if not declared.doubtful and len(analog) > 1:
        return ChannelsUnclearC3DError(
            f"The file declares {_listed(analog)} analog values a frame, {unsettled}"
        )
    return ContradictoryC3DError(
        f"The file declares {_listed(layout.frames for layout in layouts)} frames, its header and"
        f" parameters disagree about them or about their layout, {unsettled}"
    )


def _listed(numbers: Iterable[int]) -> str:
    return " or ".join(f"{number:,}" for number in sorted(set(numbers)))


def _without_bytes(layout: Layout, metadata: Metadata, size: int) -> Layout:
    """Return the layout of frames that hold nothing: their number as rotations confirm it, or 0."""
    if layout.rotations_follow:
        return layout
    if 0 <= layout.spare < BLOCK:
        return replace(layout, frames=0)
    rotations = declared_rotations(metadata)
    if layout.spare < 0 or (rotations and rotations.exceed(layout.frames, size)):
        raise TruncatedC3DError(
            f"The file declares {layout.frames:,} frames but ends before the last."
        )
    raise ContradictoryC3DError(
        f"The file declares {layout.frames:,} frames of no points and no analog samples, but holds"
        f" {layout.spare:,} bytes of data."
    )


def _check_length(layout: Layout, size: int, *, alone: bool) -> None:
    """See to it that a layout on which all places agree, or the only one, fits into the file."""
    if layout.spare < 0:
        raise _truncated(layout)
    # A count below 65,536 may have wrapped wherever it stands: it may be a copy of one of 16 bits.
    if layout.frames < WORD and layout.spare >= WORD * layout.frame_bytes:
        raise OverlongC3DError(
            f"The file declares {layout.frames:,} frames, but its length of {size:,} bytes would"
            f" hold {layout.spare // layout.frame_bytes:,} more: its 16-bit count wrapped."
        )
    if alone and not layout.is_confirmed:
        raise ContradictoryC3DError(
            f"Only the file's header declares its {layout.frames:,} frames or what they hold, and"
            f" its length of {size:,} bytes would hold {layout.spare // layout.frame_bytes:,} more."
        )


def _loses_channels(metadata: Metadata) -> bool:
    """Whether the ANALOG group says something of channels, but not their number."""
    says = metadata.real("ANALOG:RATE") is not None or metadata.is_text("ANALOG:LABELS")
    return says and metadata.integer("ANALOG:USED") is None


def _truncated(layout: Layout) -> TruncatedC3DError:
    held = max(layout.data_end - layout.data_start, 0) // (layout.frame_bytes or 1)
    return TruncatedC3DError(f"The file declares {layout.frames:,} frames but holds {held:,}.")


def _unfinished(layout: Layout) -> UnfinishedC3DError:
    held = max(layout.spare, 0) // layout.frame_bytes if layout.frame_bytes else 0
    return UnfinishedC3DError(
        f"The file declares no frames {f'but holds {held:,}' if held else 'and holds none'}."
    )
