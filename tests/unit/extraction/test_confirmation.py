"""A row is written where the file's length confirms it, and a plausible wrong one never."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.building import padded, trial, with_rotations, without_analog_words
from worker.extraction.errors import (
    C3DError,
    ChannelsUnclearC3DError,
    ContradictoryC3DError,
    OverlongC3DError,
    RatesDisagreeC3DError,
    TruncatedC3DError,
    UnfinishedC3DError,
)
from worker.extraction.metadata import TechnicalMetadata, read_metadata
from worker.extraction.section import PREFIX_BYTES
from worker.local.recordings import Value, recording

FOUR_CHANNELS = np.zeros((1000, 4))
MARKER = {"points": 1}


def read(file: bytes) -> TechnicalMetadata:
    return read_metadata(file[:PREFIX_BYTES], len(file))


# --- the header says nothing of analog samples that are there -----------------------------------


@pytest.mark.parametrize("points", [0, 5])
@pytest.mark.parametrize("end", [b"", bytes(300)])
def test_samples_that_only_the_rates_declare_are_found(points: int, end: bytes) -> None:
    file = recording(FOUR_CHANNELS, samples_per_frame=10, points=points)
    assert read(without_analog_words(file) + end).row() == read(file).row()


def test_samples_that_the_header_forgets_to_multiply_are_found_by_the_rates() -> None:
    header = {"analog": 4, "samples_per_frame": 1}
    file = recording(FOUR_CHANNELS, samples_per_frame=10, header=header)
    assert read(file).original_sample_count == 1000
    with pytest.raises(ChannelsUnclearC3DError, match="4 or 40 analog values a frame"):
        read(file + bytes(3000))


def test_a_header_without_the_samples_of_a_channel_is_completed_by_the_rates() -> None:
    header = {"samples_per_frame": 0}
    file = recording(FOUR_CHANNELS, samples_per_frame=10, header=header)
    assert read(file).original_sample_count == 1000


@pytest.mark.parametrize("rate", [None, 1234.0, 1000.0])
@pytest.mark.parametrize("length", [0, 300, 3000])
def test_channels_without_samples_that_the_length_confirms_are_refused(
    rate: float | None, length: int
) -> None:
    file = recording(frames=100, points=5, groups={"ANALOG": {"USED": 4, "RATE": rate}})
    with pytest.raises(ChannelsUnclearC3DError, match=r"no samples of them|0 or 40 analog"):
        read(file + bytes(length))


def test_a_cut_that_leaves_the_bytes_of_fewer_channels_is_refused() -> None:
    file = recording(FOUR_CHANNELS, groups={"ANALOG": {"USED": 3}})
    assert read(file).channel_count == 4
    for length in range(1, 500, 7):
        with pytest.raises(ChannelsUnclearC3DError, match="3 or 4 analog values a frame"):
            read(file[: -4000 + length])


def test_bytes_beyond_the_data_are_no_trailer_where_the_analog_words_disagree() -> None:
    file = recording(FOUR_CHANNELS, samples_per_frame=10, points=5)
    with pytest.raises(ChannelsUnclearC3DError, match="0 or 40 analog values a frame"):
        read(without_analog_words(file) + bytes(3000))


def test_bytes_beyond_the_data_are_a_trailer_where_everything_agrees() -> None:
    file = recording(FOUR_CHANNELS, samples_per_frame=10)
    assert read(file + bytes(24 * 160 + 99)).row() == read(file).row()


def test_parameters_behind_the_data_are_no_data() -> None:
    groups = {"POINT": {"DATA_START": 2}}
    file = recording(FOUR_CHANNELS, samples_per_frame=10, groups=groups, header={"data_block": 2})
    section, data = file[512:1024], file[1024:]
    behind = padded(file[:512] + data)
    moved = bytes([len(behind) // 512 + 1]) + behind[1:] + section
    assert read(moved).row() == read(recording(FOUR_CHANNELS, samples_per_frame=10)).row()
    assert read(without_analog_words(moved)).original_sample_count == 1000


# --- frames that hold nothing -------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"FRAMES": 340}, {"RATIO": None, "RATE": 100.0}])
def test_rotations_confirm_the_count_of_frames_without_points_and_samples(
    more: dict[str, Value],
) -> None:
    assert read(with_rotations(340, 21, rotation=more)).frame_count == 340


def test_two_rotations_a_frame_are_twice_as_long() -> None:
    file = with_rotations(100, 21, rotation={"RATIO": 2})
    assert read(file + bytes(100 * 21 * 68)).frame_count == 100


@pytest.mark.parametrize("length", [20_000, 100_000, 480_000])
def test_rotations_that_were_cut_confirm_no_count(length: int) -> None:
    with pytest.raises(TruncatedC3DError, match="declares 340 frames but ends before the last"):
        read(with_rotations(340, 21)[:length])


@pytest.mark.parametrize("rotation", [{"FRAMES": 170}, {"RATIO": 3}, {"USED": 5}, {"USED": 0}])
def test_rotations_of_another_number_confirm_no_count(rotation: dict[str, Value]) -> None:
    with pytest.raises(C3DError):
        read(with_rotations(340, 21, rotation=rotation))


def test_bytes_that_no_rotation_explains_contradict_frames_that_hold_nothing() -> None:
    with pytest.raises(ContradictoryC3DError, match="no points and no analog samples, but holds"):
        read(recording(frames=340) + bytes(20_000))


def test_frames_that_hold_nothing_are_not_counted() -> None:
    metadata = read(recording(frames=30))
    assert metadata.frame_count is None
    assert metadata.duration_seconds is None
    assert metadata.sampling_rate == 100.0


# --- counts that suggest more -------------------------------------------------------------------


@pytest.mark.parametrize("place", ["TRIAL", "POINT", "header"])
def test_half_a_recording_is_refused_whichever_count_it_fits(place: str) -> None:
    changed = {
        "TRIAL": {"groups": {"TRIAL": trial(1, 500)}},
        "POINT": {"groups": {"POINT": {"FRAMES": 500}}},
        "header": {"header": {"last": 500}},
    }[place]
    file = recording(FOUR_CHANNELS, **changed)  # type: ignore[arg-type]
    assert read(file).frame_count == 1000
    with pytest.raises(ContradictoryC3DError, match="1,000 frames in one place and 500 in another"):
        read(file[: -500 * 16])


def test_a_count_that_stopped_suggests_more() -> None:
    file = recording(FOUR_CHANNELS, groups={"POINT": {"FRAMES": 1000}}, header={"last": 65535})
    with pytest.raises(ContradictoryC3DError, match="65,535 frames in one place and 1,000"):
        read(file)


def test_one_frame_too_many_is_a_way_of_counting() -> None:
    file = recording(FOUR_CHANNELS, groups={"POINT": {"FRAMES": 1001}})
    assert read(file).frame_count == 1000


def test_bytes_beyond_a_count_that_nothing_else_says_are_no_trailer() -> None:
    file = recording(FOUR_CHANNELS, groups={"POINT": {"FRAMES": None}})
    for end in (b"", bytes(300)):
        assert read(file + end).frame_count == 1000
    with pytest.raises(ContradictoryC3DError, match=r"Only the file's header .* hold 50 more"):
        read(file + bytes(50 * 16))


def test_bytes_beyond_channels_that_only_the_header_counts_are_no_trailer() -> None:
    file = recording(FOUR_CHANNELS, points=1, groups={"ANALOG": {"USED": None}})
    for end in (b"", bytes(300)):
        assert read(file + end).channel_count == 4
    with pytest.raises(ContradictoryC3DError, match="Only the file's header"):
        read(file + bytes(3000))
    with pytest.raises(ContradictoryC3DError, match="Only the file's header"):
        read(without_analog_words(file))


# --- rotations behind the data, and counts that wrapped -----------------------------------------


def test_declared_rotations_are_no_frames() -> None:
    file = with_rotations(1000, 20, points=1, groups={"TRIAL": trial(1, 1000)})
    assert read(file).frame_count == 1000


@pytest.mark.parametrize("rotation", [{"USED": 19}, {"DATA_START": 4000}, {"FRAMES": 999}])
def test_rotations_that_do_not_explain_the_excess_settle_nothing(
    rotation: dict[str, Value],
) -> None:
    groups = {"TRIAL": trial(1, 1000)}
    with pytest.raises(OverlongC3DError, match="its 16-bit count wrapped"):
        read(with_rotations(1000, 20, points=1, groups=groups, rotation=rotation))


def test_a_wrapped_count_that_was_copied_into_32_bits_is_refused() -> None:
    file = recording(
        np.zeros((66_536, 1)),
        groups={"POINT": {"FRAMES": 1000}, "TRIAL": trial(1, 1000)},
        header={"last": 1000},
    )
    with pytest.raises(OverlongC3DError, match="declares 1,000 frames"):
        read(file)


def test_a_recording_that_is_too_long_is_told_how_long_it_may_be() -> None:
    with pytest.raises(OverlongC3DError, match=r"65,535 frames, the most .* would hold 4,465 more"):
        read(recording(np.zeros((70_000, 4))))


# --- rates that contradict each other -----------------------------------------------------------


@pytest.mark.parametrize(
    ("frame_rate", "samples", "analog_rate"), [(150.001, 19, 3000.0), (29.97, 33, 1000.0)]
)
def test_rates_that_disagree_are_named(frame_rate: float, samples: int, analog_rate: float) -> None:
    file = recording(
        np.zeros((100 * samples, 4)),
        samples_per_frame=samples,
        frame_rate=frame_rate,
        groups={"ANALOG": {"RATE": analog_rate}},
    )
    named = rf"{analog_rate:g} Hz analog and {frame_rate:g} Hz frames.*{samples} samples a frame\."
    for end in (b"", bytes(300)):
        with pytest.raises(RatesDisagreeC3DError, match=rf"{named} Correct POINT:RATE or"):
            read(file + end)


@pytest.mark.parametrize(("frame_rate", "samples"), [(59.94, 20), (23.976, 50), (100.1, 12)])
def test_a_measured_rate_is_kept_beside_a_nominal_one(frame_rate: float, samples: int) -> None:
    metadata = read(
        recording(
            np.zeros((10 * samples, 4)),
            samples_per_frame=samples,
            frame_rate=frame_rate,
            groups={"ANALOG": {"RATE": 1200.0}},
        )
    )
    assert metadata.original_sampling_rate == 1200.0
    assert metadata.sampling_rate == pytest.approx(frame_rate, rel=1e-6)


def test_a_frame_rate_against_two_others_is_in_doubt_alone() -> None:
    file = recording(FOUR_CHANNELS, samples_per_frame=10, groups={"POINT": {"RATE": 37.0}})
    metadata = read(file)
    assert metadata.original_sampling_rate == 1000.0
    assert metadata.original_duration_seconds == 1.0
    assert metadata.frame_count == 100
    assert metadata.sampling_rate is None
    assert metadata.duration_seconds is None


# --- nothing was recorded -----------------------------------------------------------------------


@pytest.mark.parametrize("channels", [0, 4])
def test_a_file_of_no_frames_is_unfinished(channels: int) -> None:
    with pytest.raises(UnfinishedC3DError, match="declares no frames and holds none"):
        read(recording(np.zeros((0, channels))))
