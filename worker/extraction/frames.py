"""The number of frames that a file declares, from every place where it may declare it.

Sources: the C3D manual, "POINT:FRAMES", "POINT:LONG_FRAMES", "TRIAL:ACTUAL_START_FIELD" and "The
Header Section". Header words and POINT:FRAMES have 16 bits, so they saturate or wrap.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.extraction.reader import Metadata

SATURATED = 65535  # frames: the largest 16-bit count, which stands for "this many or more"
WORD = 65536  # frames: a 16-bit count starts again at 0 here
MAX_INTEGER = 2**31 - 1  # frame_count is an INTEGER column


@dataclass(frozen=True, slots=True)
class Count:
    """The number of frames that one place declares."""

    frames: int
    saturated: bool = False  # the true number may be larger


NONSENSE = Count(-1)  # the place holds something that is not a count


@dataclass(frozen=True, slots=True)
class DeclaredFrames:
    """All counts that a file declares, the most trustworthy first."""

    counts: tuple[Count, ...]  # each number once; saturated ones only above all exact ones
    doubtful: bool  # counts disagree, or one is impossible, or a saturated one is the largest
    alone: bool  # only the header says one


def declared_frames(metadata: Metadata) -> DeclaredFrames:
    """Collect the counts: POINT:LONG_FRAMES, POINT:FRAMES, the TRIAL fields, the header."""
    places = [_long_frames(metadata), _point_frames(metadata), _trial_frames(metadata)]
    parameters = [count for count in places if count is not None]
    said = parameters + _header_frames(metadata, parameters)
    possible = [count for count in said if 0 <= count.frames <= MAX_INTEGER]
    exact = [count for count in possible if not count.saturated]
    most = max((count.frames for count in exact), default=-1)
    short = [count for count in possible if count.saturated and count.frames > most]
    counts = {count.frames: count for count in reversed(exact + short)}
    return DeclaredFrames(
        counts=tuple(reversed(counts.values())),
        doubtful=len(counts) != 1 or bool(short) or len(possible) < len(said),
        alone=not parameters,
    )


def _long_frames(metadata: Metadata) -> Count | None:
    return _wide_count(metadata, "POINT:LONG_FRAMES")


def _point_frames(metadata: Metadata) -> Count | None:
    if metadata.is_real("POINT:FRAMES"):
        return _wide_count(metadata, "POINT:FRAMES")
    frames = metadata.integer("POINT:FRAMES")
    if frames is None:
        return None
    return Count(frames, saturated=frames == SATURATED)


def _trial_frames(metadata: Metadata) -> Count | None:
    first = _wide_count(metadata, "TRIAL:ACTUAL_START_FIELD")
    last = _wide_count(metadata, "TRIAL:ACTUAL_END_FIELD")
    if first is None or last is None:
        return None
    if NONSENSE in (first, last):
        return NONSENSE
    return Count(last.frames - first.frames + 1)


def _header_frames(metadata: Metadata, parameters: list[Count]) -> list[Count]:
    first = metadata.header_integer("first_frame")
    last = metadata.header_integer("last_frame")
    # Some writers count from 0 in the header but write the number of frames as the last frame.
    if first == 0 and last in (count.frames for count in parameters):
        return []
    return [Count(last - first + 1, saturated=last == SATURATED)]


def _wide_count(metadata: Metadata, name: str) -> Count | None:
    """Read a count stored as a real, as one 16-bit word, or as two, the low one first."""
    if metadata.get(name) is None:
        return None
    if metadata.is_real(name):
        frames = metadata.integer(name)
        return NONSENSE if frames is None else Count(frames)
    words = metadata.integers(name)[:2]
    if not words:
        return NONSENSE
    return Count(words[0] + sum(words[1:]) * WORD)
