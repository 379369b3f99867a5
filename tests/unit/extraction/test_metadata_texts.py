"""Channel names and what the file says of the game: text from anywhere, made fit for storage."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from worker.extraction.metadata import TechnicalMetadata, read_metadata
from worker.extraction.section import PREFIX_BYTES
from worker.local.recordings import Raw, Value, ghostly_recording, recording

FOUR_CHANNELS = np.zeros((20, 4))


def read(file: bytes) -> TechnicalMetadata:
    return read_metadata(file[:PREFIX_BYTES], len(file))


def named(*labels: bytes) -> tuple[str, ...]:
    width = max(map(len, labels))
    value = Raw(-1, (width, len(labels)), b"".join(label.ljust(width) for label in labels))
    file = recording(np.zeros((20, len(labels))), groups={"ANALOG": {"LABELS": value}})
    return read(file).channel_names


def test_names_are_trimmed_at_both_ends() -> None:
    assert named(b"  CH1 Raw  ", b"CH2") == ("CH1 Raw", "CH2")


def test_names_are_utf8_or_else_windows_1252() -> None:
    names = (
        "µV→",
        "Glúteo",
        "R \N{EN DASH} Fuß",
        "L\N{RIGHT SINGLE QUOTATION MARK}extenseur",
        "10 €",
    )
    assert named(names[0].encode(), *(name.encode("cp1252") for name in names[1:])) == names


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("Glútéo".encode()[:6], "Glút"),
        ("Glutäus".encode()[:5], "Glut"),
        ("EMG→".encode()[:4], "EMG"),
        ("µV→".encode()[:-1], "µV"),
        ("µV→".encode()[:-1] + b"\0", "µV"),
        ("MuscleΩ😀".encode()[:-1], "MuscleΩ"),
        ("José".encode("latin-1"), "José"),
        (b"a\x81b\x9d", "ab"),
    ],
)
def test_a_character_that_its_field_cuts_is_lost_alone(raw: bytes, name: str) -> None:
    assert named(raw) == (name,)


def test_nul_and_control_characters_leave_the_name() -> None:
    assert named(b"A\0\0\0", b"B\x07\x1b[m", b"\0\0", b"C\x9b") == ("A", "B[m", "", "C\u203a")


def test_equal_and_blank_names_stay_in_their_place() -> None:
    assert named(b"EMG", b"EMG", b"", b"EMG") == ("EMG", "EMG", "", "EMG")


def test_missing_names_are_blank() -> None:
    assert read(recording(FOUR_CHANNELS, labels=["A", "B"])).channel_names == ("A", "B", "", "")


def test_absent_labels_are_blank_names() -> None:
    file = recording(FOUR_CHANNELS, groups={"ANALOG": {"LABELS": None}})
    assert read(file).channel_names == ("", "", "", "")


def test_labels_beyond_the_channels_are_left_out() -> None:
    assert read(recording(FOUR_CHANNELS, labels=list("ABCDEF"))).channel_names == tuple("ABCD")


def test_more_than_255_channels_continue_in_labels2() -> None:
    metadata = read(recording(np.zeros((20, 600))))
    assert metadata.channel_count == 600
    assert metadata.channel_names == tuple(f"CH{number}" for number in range(1, 601))


def test_a_label_of_one_dimension_names_one_channel() -> None:
    file = recording(np.zeros((20, 1)), groups={"ANALOG": {"LABELS": "Biceps "}})
    assert read(file).channel_names == ("Biceps",)


def test_labels_that_are_numbers_name_nothing() -> None:
    file = recording(FOUR_CHANNELS, groups={"ANALOG": {"LABELS": [1, 2, 3, 4]}})
    assert read(file).channel_names == ("", "", "", "")


def test_the_game_is_described_from_the_whitelist() -> None:
    game = read(ghostly_recording(20.0, seed=5)).game
    assert game["game_name"] == "Ghostly"
    assert game["system"] == "OpenFeasyo"
    assert game["version"] == "OpenFeasyo.Android"
    assert game["duration"] == 19
    assert game["time"].startswith("2025-03-")
    assert set(game) == {
        "system",
        "version",
        "event",
        "game_name",
        "game_level",
        "optimized",
        "duration",
        "time",
        "game_score",
    }
    assert json.loads(json.dumps(game)) == game


def test_personal_identifiers_never_leave_the_file() -> None:
    file = recording(
        FOUR_CHANNELS,
        groups={
            "SUBJECTS": {"PLAYER_NAME": "Ada Lovelace", "NAMES": "Ada Lovelace"},
            "INFO": {"THERAPIST_ID": "T-17", "GROUP_ID": "G-4", "GAME_NAME": "Ghostly"},
        },
    )
    metadata = read(file)
    assert metadata.game == {"game_name": "Ghostly"}
    assert "Ada" not in repr(metadata)


@pytest.mark.parametrize("placeholder", [" --- ", "N/A", "Default", "n/a", "  ", "\0"])
def test_placeholders_are_left_out(placeholder: str) -> None:
    file = recording(FOUR_CHANNELS, groups={"INFO": {"GAME_LEVEL_NAME": placeholder}})
    assert read(file).game == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (24.5, {"game_score": 24.5}),
        (-3, {"game_score": -3}),
        (0.1, {"game_score": 0.1}),
        ([7.0, 8.0], {"game_score": 7.0}),
        (math.nan, {}),
        (math.inf, {}),
        ([], {}),
        (Raw(4, (0,), b""), {}),
    ],
)
def test_a_score_is_a_finite_number(value: Value, expected: dict[str, float]) -> None:
    file = recording(FOUR_CHANNELS, groups={"SUBJECTS": {"GAME_SCORE": value}})
    assert read(file).game == expected


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (["2023", "3", "21", "17", "23"], {"time": "2023-03-21T17:23"}),
        (["2023", "13", "21", "17", "23"], {}),
        (["2023", "3", "21"], {}),
        ([str(2**31), "3", "21", "17", "23"], {}),
        ([str(10**40), "3", "21", "17", "23"], {}),
        (["2023", "3", "21", "17", str(2**63)], {}),
        (["9" * 250] * 5, {}),
        (["-1", "3", "21", "17", "23"], {}),
        (["this", "is", "no", "time", "!"], {}),
        ("2023", {}),
    ],
)
def test_a_time_is_a_date_that_exists(time: Value, expected: dict[str, str]) -> None:
    assert read(recording(FOUR_CHANNELS, groups={"INFO": {"TIME": time}})).game == expected


@pytest.mark.parametrize(
    "value",
    [
        Raw(-1, (2, 2, 2), b"deepdeep"),
        Raw(-1, (255, 200), b"x" * 51_000),
        Raw(-1, (255, 255), b"cut short"),
        Raw(3, (1,), b"abc"),
        Raw(-1, (), b""),
    ],
    ids=["three dimensions", "50 KB", "cut short", "no such type", "no data"],
)
def test_a_malformed_parameter_of_the_game_costs_its_own_key_only(value: Raw) -> None:
    info: dict[str, Value] = {"GAME_NAME": "Ghostly", "EVENT": value, "GAME_LEVEL": 3}
    metadata = read(recording(FOUR_CHANNELS, groups={"INFO": info}))
    assert metadata.game == {"game_name": "Ghostly", "game_level": 3}
    assert metadata.channel_count == 4
