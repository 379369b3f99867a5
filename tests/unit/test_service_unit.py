"""The unit for systemd: well formed, hardened, and patient enough for the worker it starts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from worker.backend.realtime_listener import CLOSE_SECONDS
from worker.extraction.isolation import CHILDREN, WARM_SECONDS
from worker.observing.watchdog import MAX_SILENCE_SECONDS
from worker.queueing.claim_loop import ANSWER_SECONDS, RELEASE_SECONDS
from worker.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "c3d-worker@.service"
RESTART = DEPLOY / "c3d-worker@.service.d" / "restart.conf"
CHECK = DEPLOY / "c3d-worker@check.service.d" / "check.conf"
PROGRAM = "/opt/c3d-worker/bin/c3d-worker"
MAX_EXPOSURE = 3.0  # of 10, as `systemd-analyze security` counts
GROWING_RESTARTS = 254  # the version of systemd that knows them


def _analyze(*arguments: str) -> str:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    command = ["systemd-analyze", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _settings(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE))


def test_its_times_are_longer_than_the_worker_needs() -> None:
    unit = _settings(UNIT)
    assert unit["Type"] == "notify"
    assert int(unit["WatchdogSec"]) > MAX_SILENCE_SECONDS
    assert (unit["Restart"], unit["KillMode"]) == ("always", "mixed")


def test_a_stop_takes_less_than_it_allows_whatever_supabase_does() -> None:
    drain = Settings.model_fields["shutdown_timeout_seconds"].default
    releasing = ANSWER_SECONDS + RELEASE_SECONDS
    ending = CLOSE_SECONDS + CHILDREN * WARM_SECONDS
    assert drain + releasing + ending < int(_settings(UNIT)["TimeoutStopSec"])


def test_what_a_person_has_to_cure_fills_no_journal() -> None:
    assert int(_settings(UNIT)["RestartSec"]) >= 30
    growing = _settings(RESTART)
    assert int(growing["RestartMaxDelaySec"]) > 30 > int(growing["RestartSec"])
    assert int(growing["RestartSteps"]) > 1


def test_one_way_serves_one_worker_and_several() -> None:
    """Each instance has its own port, whatever the settings that they share say."""
    assert _settings(UNIT)["ExecStart"] == f"/usr/bin/env HTTP_PORT=%i {PROGRAM} run"
    assert not [path for path in DEPLOY.glob("*.service") if path != UNIT]


def test_the_check_runs_in_the_sandbox_of_the_service() -> None:
    """It replaces what is run and how often, and leaves all else as the service has it."""
    check = _settings(CHECK)
    assert {"Description", "CollectMode", "Type", "ExecStart", "Restart", "WatchdogSec"} == {*check}
    assert check["ExecStart"] == f"{PROGRAM} check"


@pytest.mark.parametrize("instance", ["8787", "check"])
def test_systemd_understands_every_line(tmp_path: Path, instance: str) -> None:
    (version,) = re.findall(r"^systemd (\d+)", _analyze("--version"))
    sources = [UNIT, CHECK, *([RESTART] if int(version) >= GROWING_RESTARTS else [])]
    program = shutil.which("true") or "/bin/true"  # the worker is not installed where it says
    for source in sources:
        installed = tmp_path / source.relative_to(DEPLOY)
        installed.parent.mkdir(exist_ok=True)
        text = source.read_text(encoding="utf-8").replace(PROGRAM, program)
        installed.write_text(text, encoding="utf-8")
    (tmp_path / f"c3d-worker@{instance}.service").symlink_to(tmp_path / UNIT.name)
    assert _analyze("verify", "--man=no", str(tmp_path / f"c3d-worker@{instance}.service")) == ""


def test_what_the_reading_children_call_is_allowed() -> None:
    """Systemd's group @resources, which the unit takes away, holds what sets their limits."""
    unit = UNIT.read_text(encoding="utf-8")
    allowed = re.findall(r"^SystemCallFilter=([a-z].*)$", unit, re.MULTILINE)
    assert {"setrlimit", "prlimit64", "setpriority"} <= {*" ".join(allowed).split()}


def test_it_is_hardened() -> None:
    said = _analyze("security", "--offline=true", str(UNIT))
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert float(exposure) < MAX_EXPOSURE
