"""What `make` types for a person."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
STUB = """#!/bin/sh
for argument in "$@"; do printf '%s\\n' "$argument"; done
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not there")


def made(folder: Path, *arguments: str, **environment: str) -> list[str]:
    """Run make with a command that only prints its arguments, and return what was printed."""
    stub = folder / "venv" / "bin" / "c3d-worker"
    stub.parent.mkdir(parents=True)
    stub.write_text(STUB)
    stub.chmod(0o755)
    (folder / "venv" / ".installed").touch()
    ended = subprocess.run(
        ["make", "--no-print-directory", f"VENV={folder / 'venv'}", *arguments],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.splitlines()


@pytest.mark.parametrize(
    "name",
    [
        "a`id`.c3d",
        "a$(id).c3d",
        "a$HOME.c3d",
        "a b.c3d",
        "-x.c3d",
        '"; id; ".c3d',
        "it's.c3d",
        "$(shell id).c3d",
        "王小明.c3d",
    ],
)
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_files_name_is_nothing_but_a_name(tmp_path: Path, name: str, by: str) -> None:
    given = [f"FILE={name}"] if by == "argument" else []
    environment = {"FILE": name} if by == "environment" else {}
    assert made(tmp_path, "demo", *given, **environment) == ["demo", "--", name]


def test_without_a_file_the_demo_makes_its_own(tmp_path: Path) -> None:
    assert made(tmp_path, "demo") == ["demo"]


def test_the_list_of_commands_is_in_two_columns_and_fits_a_screen(tmp_path: Path) -> None:
    lines = made(tmp_path, "help")
    assert {line[13:15] for line in lines} == {"  "}
    assert not [line for line in lines if len(line) > 80 or line[15] == " "]
