"""`c3d-worker plot` draws recordings of this machine, offline."""

from __future__ import annotations

import resource
import signal
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from worker.commands.cli import app
from worker.errors import SettingError
from worker.local.recordings import ghostly_recording


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "P005_Anna.c3d"
    path.write_bytes(ghostly_recording(seconds=10.0))
    return path


def test_a_picture_lies_in_this_folder_under_the_name_of_the_file(good: Path) -> None:
    ended = CliRunner().invoke(app, ["plot", str(good)])
    assert (ended.exit_code, ended.stdout) == (0, "P005_Anna.png\n")
    with Image.open("P005_Anna.png") as picture:
        assert picture.format == "PNG"


def test_the_ending_says_the_kind_and_no_picture_names_the_file(good: Path) -> None:
    ended = CliRunner().invoke(app, ["plot", str(good), "--out", "picture.svg"])
    assert ended.exit_code == 0
    text = Path("picture.svg").read_text(encoding="utf-8")
    ET.fromstring(text)
    assert "CH1 Raw" in text
    assert "Anna" not in text


def test_several_pictures_go_into_a_folder(good: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.c3d"
    other.write_bytes(good.read_bytes())
    (tmp_path / "pictures").mkdir()
    assert (
        CliRunner().invoke(app, ["plot", str(good), str(other), "--out", "pictures"]).exit_code == 0
    )
    assert {each.name for each in (tmp_path / "pictures").iterdir()} == {
        "P005_Anna.png",
        "other.png",
    }
    wrong = CliRunner().invoke(app, ["plot", str(good), str(other), "--out", "one.png"])
    assert wrong.exit_code == 2
    assert not Path("one.png").exists()


def test_another_ending_is_refused(good: Path) -> None:
    assert CliRunner().invoke(app, ["plot", str(good), "--out", "picture.pdf"]).exit_code == 2


@pytest.mark.parametrize("out", ["pics/", "pics", "pics/a.png"])
def test_a_folder_that_is_not_there_is_named(good: Path, out: str) -> None:
    ended = CliRunner().invoke(app, ["plot", str(good), "--out", out])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "There is no folder pics. Make it first." in ended.stderr
    assert [each.name for each in good.parent.iterdir()] == [good.name]


def test_a_file_that_is_refused_costs_the_others_nothing(good: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.c3d"
    bad.write_bytes(b"%PDF-1.4")
    ended = CliRunner().invoke(app, ["plot", str(bad), str(good)])
    assert ended.exit_code == 1
    assert "not_c3d" in ended.stdout
    assert Path("P005_Anna.png").exists()
    assert not Path("bad.png").exists()


def test_a_full_disk_leaves_no_half_picture_and_says_so(good: Path) -> None:
    def no_space(signum: int, frame: object) -> None: ...

    signal.signal(signal.SIGXFSZ, no_space)  # a limit of size fails a write as a full disk does
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        ended = CliRunner().invoke(app, ["plot", str(good)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ended.exit_code == 1
    assert "cannot be written" in ended.stdout
    assert [each.name for each in good.parent.iterdir()] == [good.name]


def test_a_name_that_is_no_file_here_is_said_to_be_none(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    ended = CliRunner().invoke(app, ["plot", "no-such.c3d"])
    assert isinstance(ended.exception, SettingError)
    assert str(ended.exception).startswith("There is no file no-such.c3d here. As a session: ")
    ended = CliRunner().invoke(app, ["plot", str(good), "no-such.c3d"])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "There is no file no-such.c3d here." in " ".join(ended.stderr.split())
