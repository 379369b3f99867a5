"""What a file says of the number of its frames, in every place where it says it.

Sources: the C3D manual, "POINT:FRAMES", "POINT:LONG_FRAMES", "TRIAL:ACTUAL_START_FIELD" and "The
Header Section". Header words and POINT:FRAMES have 16 bits, so they saturate, or wrap.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.extraction.reader import Metadata

SATURATED = 65535
WORD = 65536
LARGEST = 2**31 - 1  # frame_count is an INTEGER column


@dataclass(frozen=True, slots=True)
class Count:
    """One place's word on the number of frames."""

    frames: int
    saturated: bool = False  # "at least so many"
    wraps: bool = False  # from 16 bits: 65,536 frames too few look the same


NONSENSE = Count(-1)  # the place is filled, with no count


@dataclass(frozen=True, slots=True)
class DeclaredFrames:
    """All counts that a file declares, the most trustworthy first."""

    counts: tuple[Count, ...]
    doubtful: bool  # counts disagree, or are nonsense, or only saturated ones are left


def declared_frames(metadata: Metadata) -> DeclaredFrames:
    """Gather the counts: POINT:LONG_FRAMES, POINT:FRAMES, the TRIAL fields, the header."""
    places = [_long_frames(metadata), _point_frames(metadata), _trial_frames(metadata)]
    said = [count for count in places if count is not None]
    said += _header_frames(metadata, said)
    possible = [count for count in said if 0 <= count.frames <= LARGEST]
    exact = [count for count in possible if not count.saturated]
    most = max((count.frames for count in exact), default=-1)
    short = [count for count in possible if count.saturated and count.frames > most]
    counts = {count.frames: count for count in reversed(exact + short)}
    return DeclaredFrames(
        counts=tuple(reversed(counts.values())),
        doubtful=len(counts) != 1 or bool(short) or len(possible) < len(said),
    )


def _long_frames(metadata: Metadata) -> Count | None:
    return _wide_count(metadata, "POINT:LONG_FRAMES")


def _point_frames(metadata: Metadata) -> Count | None:
    if metadata.is_real("POINT:FRAMES"):
        return _wide_count(metadata, "POINT:FRAMES")
    frames = metadata.integer("POINT:FRAMES")
    if frames is None:
        return None
    return Count(frames, saturated=frames == SATURATED, wraps=True)


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
    # Some writers count from 0 in the header and still write the number of frames as the last.
    if first == 0 and last in (count.frames for count in parameters):
        return []
    return [Count(last - first + 1, saturated=last == SATURATED, wraps=True)]


def _wide_count(metadata: Metadata, name: str) -> Count | None:
    """A count stored as a real, as one word, or as two words, the low one first."""
    if metadata.get(name) is None:
        return None
    if metadata.is_real(name):
        frames = metadata.integer(name)
        return NONSENSE if frames is None else Count(frames)
    words = metadata.integers(name)[:2]
    if not words:
        return NONSENSE
    return Count(words[0] + sum(words[1:]) * WORD)
