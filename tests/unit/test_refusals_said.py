"""A file that is refused says why in whole words, the lines after the first indented."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NAME = "a-recording-of-the-second-visit.c3d"
WHY = (
    f"{NAME}: c3d_not_c3d: The file holds 8 bytes; a C3D header alone has 512. Upload the "
    "recording itself, a file that the game or the device saved as .c3d."
)
PROJECT = {"SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_SECRET_KEY": "sb_secret_planted"}


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(b"%PDF-1.4")
    return path


def refused(command: str, file: Path, width: int | None) -> list[str]:
    """Return the lines that a command prints of a file that it refuses; None: into a pipe."""
    ended = subprocess.run(
        [sys.executable, "-m", "worker", command, str(file)],
        cwd=file.parent,
        env={**PROJECT, **({"COLUMNS": str(width)} if width else {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    return ended.stdout.strip().splitlines()


@pytest.mark.parametrize("command", ["plot", "ingest"])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_refusal_is_whole_at_every_width(bad: Path, command: str, width: int) -> None:
    first, *others = lines = refused(command, bad, width)
    assert " ".join(line.strip() for line in lines) == WHY
    assert all(len(line) <= width for line in lines)
    assert all(line.startswith("  ") and line == line.rstrip() for line in others)
    assert first.startswith(f"{NAME}: c3d_not_c3d: ")


def test_a_pipe_gets_a_line_for_each_file(bad: Path) -> None:
    assert refused("plot", bad, None) == [WHY]


def test_a_screen_of_two_columns_is_no_failure(bad: Path) -> None:
    assert "".join(refused("plot", bad, 2)).replace(" ", "") == WHY.replace(" ", "")


def test_a_word_wider_than_the_screen_goes_on_below(bad: Path) -> None:
    long = bad.rename(bad.with_name(f"{'long-' * 20}{NAME}"))
    lines = refused("plot", long, 60)
    assert all(len(line) <= 60 for line in lines)
    assert "".join(line.strip() for line in lines).startswith(f"{long.name}: c3d_not_c3d: ")


@pytest.mark.parametrize("width", [60, 80, None])
def test_an_error_that_ends_a_command_is_told_in_the_same_way(
    tmp_path: Path, width: int | None
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "worker", "status"],
        cwd=tmp_path,
        env={"COLUMNS": str(width)} if width else {},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    lines = ended.stderr.splitlines()
    assert lines[0].startswith("setting: SUPABASE_URL is not set; ")
    assert all(line.startswith("  ") for line in lines[1:])
    if width:
        assert all(len(line) <= width for line in lines)
    else:
        assert len(lines) == 1
