"""A misspelt setting is named, with the one that was meant."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from worker.settings.near_misses import near_misses

SETTINGS = "SUPABASE_URL=http://127.0.0.1:1\nSUPABASE_SECRET_KEY=sb_secret_planted\n"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CONCURENCY", "CONCURRENCY"),
        ("concurency", "CONCURRENCY"),
        ("SUPABASE_SERVICE_KEY", "SUPABASE_SERVICE_ROLE_KEY"),
        ("SUPABSE_URL", "SUPABASE_URL"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("PATIENT_ID_PATERN", "PATIENT_ID_PATTERN"),
    ],
)
def test_a_misspelt_setting_is_named_with_the_one_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert near_misses({name: "1"}) == {name.upper(): meant}
    Path(".env").write_text(f"{name}=1\n")
    assert near_misses({}) == {name.upper(): meant}


@pytest.mark.parametrize(
    "name",
    ["HTTP_PROXY", "HTTPS_PROXY", "LOGNAME", "SUPABASE_ANON_KEY", "SUPABASE_ACCESS_TOKEN", "HOST"],
)
def test_another_programs_variable_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert near_misses({name: "1"}) == {}


def test_nobody_means_a_setting_that_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert near_misses({"LOGLEVEL": "debug", "LOG_LEVEL": "DEBUG"}) == {}


def test_a_command_says_it_in_its_log_and_where_that_setting_is_missed(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"{SETTINGS}CONCURENCY=8\nLOG_FORMAT=json\n")
    warned = json.loads(_status(tmp_path).splitlines()[0])
    assert (warned["event"], warned["name"], warned["meant"]) == (
        "setting_unknown",
        "CONCURENCY",
        "CONCURRENCY",
    )
    env_file.write_text(SETTINGS.replace("SUPABASE_URL", "SUPABSE_URL"))
    said = _status(tmp_path)
    assert said.startswith("setting: SUPABASE_URL is not set.")
    assert said.rstrip().endswith("SUPABSE_URL is set: is SUPABASE_URL meant?")


def _status(folder: Path) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "worker", "status"],
        cwd=folder,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    return ended.stderr
