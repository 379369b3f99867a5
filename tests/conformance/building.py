"""Parts of files that the shapes have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worker.local.recordings import BLOCK, Groups, Value, recording

ROTATION_BYTES = 17 * 4  # 4 x 4 reals and a residual


def padded(file: bytes) -> bytes:
    """The file, filled up to a whole block."""
    return file + bytes(-len(file) % BLOCK)


def with_rotations(
    frames: int, used: int = 4, *, rotation: dict[str, Value] | None = None, **others: Any
) -> bytes:
    """A recording with `used` rotations a frame behind its data; `rotation`: more of the group."""

    def build(block: int) -> bytes:
        group = {"USED": used, "DATA_START": block, "RATIO": 1, **(rotation or {})}
        groups: Groups = {**others.get("groups", {}), "ROTATION": group}
        return padded(recording(frames=frames, **{**others, "groups": groups}))

    start = len(build(1)) // BLOCK + 1
    return build(start) + bytes(frames * used * ROTATION_BYTES)


def without_analog_words(file: bytes) -> bytes:
    """The file, header words 3 and 10 (analog values and samples a frame) set to 0."""
    return file[:4] + bytes(2) + file[6:18] + bytes(2) + file[20:]


def moved_behind_the_data(build: Callable[..., bytes]) -> bytes:
    """The recording that `build` makes, its parameter section moved behind the data."""
    file = build(header={"data_block": 2}, groups={"POINT": {"DATA_START": 2}})
    start = BLOCK + file[BLOCK + 2] * BLOCK
    data = padded(file[start:])
    return bytes([2 + len(data) // BLOCK]) + file[1:BLOCK] + data + file[BLOCK:start]


def words(number: int) -> list[int]:
    """A number of 32 bits as the two words of a TRIAL field."""
    return [number % 65536, number // 65536]


def trial(first: int, last: int) -> dict[str, Value]:
    """The TRIAL group of a recording from frame `first` to frame `last`."""
    return {"ACTUAL_START_FIELD": words(first), "ACTUAL_END_FIELD": words(last)}
