"""Each column of the technical row, from a recording made for it."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

from worker.extraction.errors import TruncatedC3DError
from worker.extraction.metadata import TechnicalMetadata, read_metadata
from worker.extraction.section import PREFIX_BYTES
from worker.local.recordings import DEC, INTEL, MIPS, Raw, ghostly_recording, recording

TWO_CHANNELS = np.zeros((200, 2))


def read(file: bytes) -> TechnicalMetadata:
    return read_metadata(file[:PREFIX_BYTES], len(file))


def test_a_session_of_the_game_has_two_clocks() -> None:
    row = read(ghostly_recording(seconds=75.03)).row()
    assert row == {
        "original_sampling_rate": 990.0,
        "original_duration_seconds": 75.030304,
        "original_sample_count": 74280,
        "channel_count": 4,
        "channel_names": ["CH1 Raw", "CH2 Raw", "CH1 activated", "CH2 activated"],
        "sampling_rate": 33.0,
        "duration_seconds": 75.030304,
        "frame_count": 2476,
    }


def test_the_row_has_the_table_s_column_order() -> None:
    assert list(read(ghostly_recording(1.0)).row()) == [
        "original_sampling_rate",
        "original_duration_seconds",
        "original_sample_count",
        "channel_count",
        "channel_names",
        "sampling_rate",
        "duration_seconds",
        "frame_count",
    ]


def test_numbers_of_the_row_are_the_float32_a_real_column_holds() -> None:
    metadata = read(recording(np.zeros((700, 1)), frame_rate=69.9))
    assert metadata.duration_seconds == pytest.approx(10.0143, rel=1e-5)
    assert metadata.row()["sampling_rate"] == 69.9
    assert metadata.row()["duration_seconds"] == float(str(np.float32(700 / np.float32(69.9))))


def test_no_whole_number_is_a_numpy_scalar_that_could_overflow() -> None:
    metadata = read(ghostly_recording(seconds=75.03))
    assert type(metadata.original_sample_count) is int
    assert type(metadata.frame_count) is int
    assert type(metadata.channel_count) is int


def test_metadata_survives_the_way_between_processes() -> None:
    metadata = read(ghostly_recording(1.0))
    assert pickle.loads(pickle.dumps(metadata)) == metadata


@pytest.mark.parametrize("real", [True, False], ids=["real", "integer"])
@pytest.mark.parametrize("processor", [INTEL, DEC, MIPS], ids=["intel", "dec", "mips"])
def test_every_processor_and_number_format_reads_alike(processor: int, *, real: bool) -> None:
    file = recording(
        TWO_CHANNELS, samples_per_frame=4, frame_rate=50.0, points=3, real=real, processor=processor
    )
    metadata = read(file)
    assert metadata.original_sampling_rate == 200.0
    assert metadata.original_sample_count == 200
    assert metadata.channel_names == ("CH1", "CH2")
    assert metadata.sampling_rate == 50.0
    assert metadata.frame_count == 50
    assert metadata.duration_seconds == metadata.original_duration_seconds == 1.0


def test_a_recording_without_analog_channels_has_no_original_clock() -> None:
    metadata = read(recording(frames=20, points=2))
    assert metadata.channel_count == 0
    assert metadata.channel_names == ()
    assert metadata.original_sampling_rate is None
    assert metadata.original_sample_count is None
    assert metadata.original_duration_seconds is None
    assert metadata.frame_count == 20
    assert metadata.duration_seconds == 0.2


def test_an_analog_rate_without_channels_says_nothing() -> None:
    metadata = read(recording(frames=20, points=2, groups={"ANALOG": {"RATE": 1234.0}}))
    assert metadata.original_sampling_rate is None


def test_an_absent_analog_rate_follows_from_the_frame_rate() -> None:
    file = recording(
        TWO_CHANNELS, samples_per_frame=4, frame_rate=50.0, groups={"ANALOG": {"RATE": None}}
    )
    assert read(file).original_sampling_rate == 200.0


@pytest.mark.parametrize("rate", [math.nan, math.inf, -200.0, 0.0, 1e7, 1e-3])
def test_an_implausible_analog_rate_becomes_null(rate: float) -> None:
    metadata = read(recording(TWO_CHANNELS, groups={"ANALOG": {"RATE": rate}}))
    assert metadata.original_sampling_rate is None
    assert metadata.original_duration_seconds is None
    assert metadata.original_sample_count == 200
    assert metadata.duration_seconds == 2.0


def test_the_frame_rate_falls_back_to_the_header() -> None:
    file = recording(TWO_CHANNELS, frame_rate=50.0, groups={"POINT": {"RATE": None}})
    assert read(file).sampling_rate == 50.0


def test_the_frame_rate_falls_back_to_the_analog_rate() -> None:
    file = recording(
        TWO_CHANNELS,
        samples_per_frame=4,
        groups={"POINT": {"RATE": 0.0}, "ANALOG": {"RATE": 200.0}},
        header={"frame_rate": 0.0},
    )
    assert read(file).sampling_rate == 50.0


def test_without_any_plausible_rate_there_is_no_duration() -> None:
    file = recording(
        TWO_CHANNELS,
        groups={"POINT": {"RATE": math.nan}, "ANALOG": {"RATE": None}},
        header={"frame_rate": 0.0},
    )
    metadata = read(file)
    assert metadata.sampling_rate is None
    assert metadata.original_sampling_rate is None
    assert metadata.duration_seconds is None
    assert metadata.frame_count == 200


def test_a_dec_zero_is_not_a_rate() -> None:
    file = recording(
        TWO_CHANNELS,
        processor=DEC,
        groups={"POINT": {"RATE": 0.0}, "ANALOG": {"RATE": 100.0}},
        header={"frame_rate": 0.0},
    )
    assert read(file).sampling_rate == 100.0


@pytest.mark.parametrize(("frame_rate", "analog_rate"), [(59.94, 599.4), (33.3333, 333.333)])
def test_rates_may_differ_by_their_rounding(frame_rate: float, analog_rate: float) -> None:
    file = recording(
        TWO_CHANNELS,
        samples_per_frame=10,
        frame_rate=frame_rate,
        groups={"ANALOG": {"RATE": analog_rate}},
    )
    assert read(file).original_sampling_rate == pytest.approx(analog_rate, rel=1e-6)


def test_rates_stored_as_whole_numbers_are_read() -> None:
    file = recording(TWO_CHANNELS, groups={"POINT": {"RATE": 100}, "ANALOG": {"RATE": 100}})
    assert read(file).original_sampling_rate == 100.0


def test_numbers_stored_as_bytes_are_read() -> None:
    file = recording(TWO_CHANNELS, groups={"ANALOG": {"USED": Raw(1, (), b"\2")}})
    assert read(file).channel_count == 2


def test_digits_stored_as_text_are_not_a_number() -> None:
    file = recording(TWO_CHANNELS, groups={"ANALOG": {"RATE": "900"}})
    assert read(file).original_sampling_rate == 100.0  # as where it is absent


def test_the_first_of_several_rates_counts() -> None:
    file = recording(TWO_CHANNELS, groups={"ANALOG": {"RATE": [100.0, 5.0]}})
    assert read(file).original_sampling_rate == 100.0


def test_channels_are_counted_from_the_header_where_used_is_absent() -> None:
    file = recording(TWO_CHANNELS, samples_per_frame=4, groups={"ANALOG": {"USED": None}})
    assert read(file).channel_count == 2


def test_a_short_prefix_is_not_a_complete_answer() -> None:
    file = ghostly_recording(20.0)
    with pytest.raises(TruncatedC3DError, match="Only 1,536 of the file's first 262,144 bytes"):
        read_metadata(file[:1536], len(file))


def test_extraction_does_not_rely_on_asserts() -> None:
    program = """
from worker.extraction.errors import NotC3DError
from worker.extraction.metadata import read_metadata
from worker.extraction.section import PREFIX_BYTES
from worker.local.recordings import ghostly_recording
file = ghostly_recording(2.0)
if read_metadata(file, len(file)).original_sample_count != 1980:
    raise SystemExit("wrong count")
try:
    read_metadata(b"\\2\\0" + file[2:], len(file))
except NotC3DError:
    print("refused")
"""
    done = subprocess.run(
        [sys.executable, "-O", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "refused\n"
