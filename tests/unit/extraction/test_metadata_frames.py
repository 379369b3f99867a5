"""The number of frames: declared in four places, confirmed by the file's length."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.conformance.building import trial, words
from worker.extraction.errors import ContradictoryC3DError, TruncatedC3DError, UnfinishedC3DError
from worker.extraction.metadata import TechnicalMetadata, read_metadata
from worker.extraction.section import PREFIX_BYTES
from worker.local.recordings import Raw, ghostly_recording, recording

LONG = np.zeros((70_000, 1))


def read(file: bytes) -> TechnicalMetadata:
    return read_metadata(file[:PREFIX_BYTES], len(file))


def test_long_frames_count_beyond_65535() -> None:
    assert read(recording(LONG, groups={"POINT": {"LONG_FRAMES": 70_000.0}})).frame_count == 70_000


def test_frames_stored_as_a_real_count_beyond_65535() -> None:
    assert read(recording(LONG, groups={"POINT": {"FRAMES": 70_000.0}})).frame_count == 70_000


@pytest.mark.parametrize("first", [1, 100, 65_600])
def test_trial_fields_count_beyond_65535(first: int) -> None:
    file = recording(
        LONG,
        groups={"TRIAL": trial(first, first + 69_999)},
        header={"first": min(first, 65535), "last": 65535},
    )
    assert read(file).frame_count == 70_000


def test_trial_fields_of_two_dimensions_are_read() -> None:
    file = recording(
        LONG,
        groups={
            "TRIAL": {
                "ACTUAL_START_FIELD": Raw(2, (2, 1), b"\1\0\0\0"),
                "ACTUAL_END_FIELD": Raw(2, (2, 1), (70_000).to_bytes(4, "little")),
            }
        },
    )
    assert read(file).frame_count == 70_000


def test_a_first_frame_of_zero_is_counted() -> None:
    assert read(recording(np.zeros((50, 1)), first_frame=0)).frame_count == 50


@pytest.mark.parametrize("padding", [0, 300])
def test_a_header_that_counts_one_too_many_from_zero_is_outvoted(padding: int) -> None:
    file = recording(np.zeros((5000, 8)), header={"first": 0, "last": 5000})
    assert read(file + bytes(padding)).frame_count == 5000


def test_a_length_that_fits_two_counts_settles_nothing() -> None:
    file = recording(np.zeros((500, 8)), groups={"POINT": {"FRAMES": 501}})
    assert read(file).frame_count == 500
    assert read(file + bytes(32)).frame_count == 501
    with pytest.raises(ContradictoryC3DError, match="500 or 501 frames"):
        read(file + bytes(300))


def test_the_length_decides_between_counts_that_disagree() -> None:
    file = recording(np.zeros((500, 40)), groups={"POINT": {"FRAMES": 501}})
    assert read(file).frame_count == 500


def test_a_file_too_short_for_any_of_its_counts_is_truncated() -> None:
    file = recording(np.zeros((500, 40)), groups={"POINT": {"FRAMES": 501}})
    with pytest.raises(TruncatedC3DError, match="declares 501 frames but holds 499"):
        read(file[:-1])


def test_frames_before_the_first_are_not_a_count() -> None:
    file = recording(np.zeros((200, 1)), header={"first": 50, "last": 20})
    assert read(file).frame_count == 200


@pytest.mark.parametrize("count", [1e38, math.nan, math.inf, -5.0, 10.5])
def test_an_impossible_count_leaves_the_decision_to_the_length(count: float) -> None:
    file = recording(np.zeros((200, 1)), groups={"POINT": {"FRAMES": count}})
    assert read(file).frame_count == 200
    with pytest.raises(ContradictoryC3DError):
        read(file + bytes(600))


def test_an_impossible_count_without_another_is_refused() -> None:
    file = recording(
        np.zeros((200, 1)),
        groups={"POINT": {"FRAMES": 1e38}},
        header={"first": 50, "last": 20},
    )
    with pytest.raises(ContradictoryC3DError, match="no possible number of frames"):
        read(file)


def test_trial_fields_in_reverse_are_not_a_count() -> None:
    file = recording(np.zeros((200, 1)), groups={"TRIAL": trial(589_824, 60)})
    assert read(file).frame_count == 200


def test_an_empty_trial_field_is_not_a_count() -> None:
    empty = Raw(2, (0,), b"")
    file = recording(
        np.zeros((200, 1)),
        groups={"TRIAL": {"ACTUAL_START_FIELD": empty, "ACTUAL_END_FIELD": empty}},
    )
    assert read(file).frame_count == 200


def test_one_trial_field_alone_says_nothing() -> None:
    file = recording(np.zeros((200, 1)), groups={"TRIAL": {"ACTUAL_END_FIELD": words(99)}})
    assert read(file + bytes(5000)).frame_count == 200


def test_more_frames_than_the_column_holds_are_refused() -> None:
    with pytest.raises(ContradictoryC3DError):
        read(
            recording(
                groups={"POINT": {"FRAMES": None}, "TRIAL": trial(1, 2**32 - 1)},
                header={"last": 65535},
            )
        )


def test_more_samples_than_the_column_holds_are_refused() -> None:
    start = recording(
        np.zeros((0, 1)),
        samples_per_frame=4,
        real=False,
        groups={"POINT": {"LONG_FRAMES": float(2**30)}},
        header={"last": 65535},
    )
    with pytest.raises(ContradictoryC3DError, match="2,147,483,647 that a technical row can count"):
        read_metadata(start.ljust(PREFIX_BYTES, b"\0"), len(start) + 2**33)


def test_nothing_can_confirm_frames_that_hold_nothing() -> None:
    with pytest.raises(ContradictoryC3DError):
        read(recording(frames=30, groups={"POINT": {"FRAMES": 31}}))


@pytest.mark.parametrize("analog", [np.zeros((1000, 4)), np.zeros((1, 4))])
def test_a_file_that_lacks_a_declared_frame_is_truncated(analog: np.ndarray) -> None:
    file = recording(analog, points=1)
    with pytest.raises(TruncatedC3DError):
        read(file[:-1])


def test_a_truncated_file_is_told_what_it_lacks() -> None:
    file = ghostly_recording(seconds=75.03)
    with pytest.raises(
        TruncatedC3DError, match=r"^The file declares 2,476 frames but holds 1,238\. It was cut"
    ):
        read(file[: 1536 + 1238 * 496])


def test_a_file_that_was_never_closed_is_unfinished() -> None:
    file = recording(
        np.zeros((2000, 4)),
        groups={"POINT": {"FRAMES": 0}},
        header={"first": 1, "last": 0, "data_block": 0},
    )
    with pytest.raises(UnfinishedC3DError, match="declares no frames but holds 2,000"):
        read(file)


@pytest.mark.parametrize("pointer", [0, 1])
def test_without_a_pointer_the_data_follow_the_parameters(pointer: int) -> None:
    analog, pointers = np.zeros((50, 4)), {"POINT": {"DATA_START": None}}
    assert read(recording(analog, groups=pointers, header={"data_block": pointer})).row() == (
        read(recording(analog)).row()
    )


def test_a_negative_number_of_channels_is_zero_channels() -> None:
    file = recording(np.zeros((50, 4)), groups={"ANALOG": {"USED": -4.0}})
    assert read(file).channel_count == 4


def test_a_file_that_was_closed_only_in_the_header_is_read() -> None:
    file = recording(np.zeros((2000, 4)), groups={"POINT": {"FRAMES": 0}})
    assert read(file).frame_count == 2000


def test_an_unfinished_file_with_a_nonsense_count_is_still_unfinished() -> None:
    file = recording(
        np.zeros((2000, 4)), groups={"POINT": {"FRAMES": 0}}, header={"first": 9, "last": 1}
    )
    with pytest.raises(UnfinishedC3DError):
        read(file)


def test_a_count_that_wrapped_at_65536_is_refused() -> None:
    file = recording(LONG, groups={"POINT": {"FRAMES": 4464}}, header={"last": 4464})
    with pytest.raises(ContradictoryC3DError, match=r"4,464 frames.*hold 65,536 more"):
        read(file)


def test_saturated_counts_are_refused_where_the_length_says_more() -> None:
    with pytest.raises(ContradictoryC3DError, match="declares 65,535 frames"):
        read(recording(LONG))


def test_65535_frames_are_believed_where_the_length_confirms_them() -> None:
    assert read(recording(np.zeros((65_535, 1)))).frame_count == 65_535


@pytest.mark.parametrize("spare", [1, 511, 512, 100_000])
def test_padding_and_trailers_are_not_frames(spare: int) -> None:
    file = recording(np.zeros((200, 16)))
    assert read(file + bytes(spare)).frame_count == 200


def test_the_length_settles_a_header_that_miscounts_the_analog_values() -> None:
    file = recording(np.zeros((5880, 16)), samples_per_frame=7, header={"analog": 16})
    assert read(file).frame_count == 840


def test_the_length_settles_a_wrong_count_of_points() -> None:
    file = recording(np.zeros((500, 4)), points=3, header={"points": 2})
    assert read(file).frame_count == 500


def test_the_length_settles_whether_numbers_are_reals() -> None:
    file = recording(np.zeros((500, 4)), real=False, header={"scale": -1.0})
    assert read(file).frame_count == 500


def test_the_length_settles_where_the_data_start() -> None:
    file = recording(np.zeros((500, 4)), points=1, groups={"POINT": {"DATA_START": 9}})
    assert read(file).frame_count == 500


def test_a_wrong_number_of_channels_that_nothing_confirms_is_refused() -> None:
    file = recording(np.zeros((500, 4)), groups={"ANALOG": {"USED": 3}})
    assert read(file).channel_count == 4
    with pytest.raises(ContradictoryC3DError, match="does not settle it"):
        read(file + bytes(2000))


def test_analog_values_that_make_no_whole_channels_are_refused() -> None:
    file = recording(
        np.zeros((500, 4)), groups={"ANALOG": {"USED": None}}, header={"samples_per_frame": 3}
    )
    with pytest.raises(ContradictoryC3DError, match="not 3 samples of whole channels"):
        read(file)
