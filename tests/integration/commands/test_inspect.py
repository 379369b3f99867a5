"""`c3d-worker inspect` shows, offline, what the worker would write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from worker.commands.cli import app
from worker.local.recordings import Value, ghostly_recording, recording

COLUMNS = [
    "original_sampling_rate",
    "original_duration_seconds",
    "original_sample_count",
    "channel_count",
    "channel_names",
    "sampling_rate",
    "duration_seconds",
    "frame_count",
]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.c3d"
    path.write_bytes(ghostly_recording(seconds=10.0))
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.c3d"
    path.write_bytes(b"%PDF-1.4")
    return path


def test_a_date_of_the_game_that_no_calendar_has_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "late.c3d"
    info: dict[str, Value] = {"GAME_NAME": "Ghostly", "TIME": [str(2**31), "1", "1", "1", "1"]}
    path.write_bytes(recording(np.zeros((20, 4)), groups={"INFO": info}))
    ended = CliRunner().invoke(app, ["inspect", "--json", str(path)])
    assert ended.exit_code == 0
    assert json.loads(ended.stdout)["game_metadata"] == {"game_name": "Ghostly"}


def test_json_holds_the_row_and_the_game_on_one_line(good: Path) -> None:
    ended = CliRunner().invoke(app, ["inspect", "--json", str(good)])
    assert ended.exit_code == 0
    (line,) = ended.stdout.splitlines()
    said = json.loads(line)
    assert list(said) == ["file", "row", "game_metadata"]
    assert list(said["row"]) == COLUMNS
    assert said["row"]["channel_count"] == 4
    assert said["row"]["original_sampling_rate"] == 990.0
    assert "game_name" in said["game_metadata"]


def test_a_refused_file_is_an_error_with_its_code_and_exit_code_1(good: Path, bad: Path) -> None:
    ended = CliRunner().invoke(app, ["inspect", "--json", str(bad), str(good)])
    assert ended.exit_code == 1
    refused, read = map(json.loads, ended.stdout.splitlines())
    assert list(refused) == ["file", "error"]
    assert refused["error"]["code"] == "c3d_not_c3d"
    assert refused["error"]["message"].endswith(".")
    assert "row" in read


def test_the_table_shows_rates_counts_and_names(good: Path, bad: Path) -> None:
    ended = CliRunner().invoke(app, ["inspect", str(good), str(bad)])
    assert ended.exit_code == 1
    for shown in ("good.c3d", "990", "9,900", "330", "CH1 activated", "Ghostly", "c3d_not_c3d"):
        assert shown in ended.stdout


def test_statistics_are_shown_with_a_sparkline_per_channel(good: Path) -> None:
    ended = CliRunner().invoke(app, ["inspect", "--statistics", str(good)])
    assert ended.exit_code == 0
    lines = [line for line in ended.stdout.splitlines() if set(line) & set("▂▃▄▅▆▇█")]
    assert [line.split("  ")[0].strip() for line in lines] == [
        "CH1 Raw",
        "CH2 Raw",
        "CH1 activated",
        "CH2 activated",
    ]


def test_a_dead_and_a_saturated_electrode_are_flagged(tmp_path: Path) -> None:
    samples = np.zeros((1000, 2), dtype=np.float32)
    samples[:, 1] = np.clip(np.sin(np.arange(1000) / 7) * 2, -1, 1)
    path = tmp_path / "electrodes.c3d"
    path.write_bytes(recording(samples, labels=["dead", "saturated"]))
    ended = CliRunner().invoke(app, ["inspect", "--statistics", str(path)])
    said = ended.stdout.split("activity over time")[1]
    assert "dead: The signal never changes" in said
    assert "saturated: The signal was cut off in 6" in said


@pytest.mark.parametrize("width", [60, 80])
def test_a_verdict_is_never_cut_and_begins_a_line(tmp_path: Path, width: int) -> None:
    samples = np.zeros((1000, 1), dtype=np.float32)
    path = tmp_path / "named.c3d"
    path.write_bytes(recording(samples, labels=["Right Tibialis Anterior"]))
    ended = CliRunner().invoke(
        app, ["inspect", "--statistics", str(path)], env={"COLUMNS": str(width)}
    )
    lines = ended.stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in ended.stdout
    at = next(n for n, line in enumerate(lines) if line.startswith("Right Tibialis Anterior: "))
    said = " ".join(line.strip() for line in lines[at : at + 2])
    assert said.startswith(
        "Right Tibialis Anterior: The signal never changes: the sensor was off or not connected."
    )


def test_json_holds_the_statistics_where_they_are_asked_for(good: Path) -> None:
    ended = CliRunner().invoke(app, ["inspect", "--json", "--statistics", str(good)])
    said = json.loads(ended.stdout)
    assert list(said) == ["file", "row", "game_metadata", "statistics"]
    assert [channel["samples"] for channel in said["statistics"]["channels"]] == [9900] * 4
    assert [channel["verdicts"] for channel in said["statistics"]["channels"]] == [[]] * 4


@pytest.mark.parametrize("arguments", [["inspect"], ["inspect", "no-such-file.c3d"], ["nonsense"]])
def test_a_wrong_call_is_exit_code_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2
