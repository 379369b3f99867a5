"""The unit for systemd: well formed, hardened, and patient enough for the worker it starts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from worker.observing.watchdog import MAX_SILENCE_SECONDS
from worker.settings import Settings

UNIT = Path(__file__).parents[2] / "deploy" / "c3d-worker.service"
MAX_EXPOSURE = 3.0  # of 10, as `systemd-analyze security` counts


def _analyze(*arguments: str) -> str:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    command = ["systemd-analyze", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_its_times_are_longer_than_the_worker_needs() -> None:
    unit = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE))
    shutdown_timeout_seconds = Settings.model_fields["shutdown_timeout_seconds"].default
    assert unit["Type"] == "notify"
    assert int(unit["WatchdogSec"]) > MAX_SILENCE_SECONDS
    assert int(unit["TimeoutStopSec"]) > shutdown_timeout_seconds
    assert (unit["Restart"], unit["KillMode"]) == ("always", "mixed")


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    installed = tmp_path / UNIT.name
    program = shutil.which("true") or "/bin/true"  # the worker is not installed where it says
    unit = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={program}", UNIT.read_text(encoding="utf-8"))
    installed.write_text(unit, encoding="utf-8")
    assert _analyze("verify", "--man=no", str(installed)) == ""


def test_it_is_hardened() -> None:
    said = _analyze("security", "--offline=true", str(UNIT))
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert float(exposure) < MAX_EXPOSURE
