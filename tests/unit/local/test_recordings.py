"""The recordings made to order are what they claim to be."""

from __future__ import annotations

import time

import numpy as np
import pytest

from worker.extraction.errors import ContradictoryC3DError
from worker.extraction.metadata import read_metadata
from worker.extraction.section import PREFIX_BYTES
from worker.local.recordings import DEC, INTEL, MIPS, ghostly_recording, reals, recording


def test_different_seeds_make_different_bytes_of_equal_length() -> None:
    one, other = ghostly_recording(5.0, seed=1), ghostly_recording(5.0, seed=2)
    assert one != other
    assert len(one) == len(other)


def test_the_same_seed_makes_the_same_bytes() -> None:
    assert ghostly_recording(5.0, seed=1) == ghostly_recording(5.0, seed=1)


def test_data_of_a_game_session_start_at_byte_1536_like_real_ones() -> None:
    file = ghostly_recording(20.0)
    assert file[16] == 4  # header word 9: the block where the data start
    assert len(file) == 1536 + 660 * 496


def test_a_game_session_carries_the_placeholders_of_personal_data() -> None:
    file = ghostly_recording(1.0)
    assert b"PLAYER_NAME" in file
    assert b"THERAPIST_ID" in file
    assert b"GROUP_ID" in file


def test_activated_channels_are_envelopes_of_the_raw_ones() -> None:
    frames = np.frombuffer(ghostly_recording(20.0)[1536:], "<f4").reshape(-1, 124)
    analog = frames[:, 4:].reshape(-1, 4)
    raw, activated = np.abs(analog[:, 0]), analog[:, 2]
    assert (activated >= 0).all()
    assert np.corrcoef(raw, activated)[0, 1] > 0.5
    assert activated.std() < raw.std()


def test_an_hour_wraps_the_game_s_count_of_frames_like_real_ones() -> None:
    file = ghostly_recording(3600.0)
    assert int.from_bytes(file[8:10], "little") == 118_800 - 65_536
    with pytest.raises(ContradictoryC3DError, match="wrapped"):
        read_metadata(file[:PREFIX_BYTES], len(file))


def test_an_hour_is_made_in_seconds() -> None:
    start = time.perf_counter()
    ghostly_recording(3600.0)
    assert time.perf_counter() - start < 20  # seconds; about 2 on a laptop


@pytest.mark.parametrize(
    ("processor", "expected"),
    [(INTEL, "0000803f"), (DEC, "80400000"), (MIPS, "3f800000")],
    ids=["intel", "dec", "mips"],
)
def test_a_real_is_written_as_the_processor_does(processor: int, expected: str) -> None:
    assert reals([1.0], processor).hex() == expected


def test_data_start_is_right_where_the_section_only_just_fits() -> None:
    for length in range(300):
        file = recording(frames=1, points=1, groups={"INFO": {"NOTE": "x" * min(length + 1, 255)}})
        assert len(file) == (file[16] - 1) * 512 + 16
