"""When the claim loop counts as alive, and a service manager that does not listen."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from worker.observing.sd_notify import notify
from worker.observing.watchdog import Watchdog


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@nobody", "/" + "long" * 100])
def test_without_a_service_manager_nothing_fails(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")


def test_a_service_manager_that_does_not_read_delays_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        for _ in range(2000):  # far more than its queue takes
            notify("WATCHDOG=1")


def test_a_loop_is_alive_until_it_is_silent_for_too_long() -> None:
    watchdog = Watchdog(max_silence_seconds=0.2)
    watchdog.feed()
    assert watchdog.alive
    time.sleep(0.25)
    assert not watchdog.alive
    watchdog.feed()
    assert watchdog.alive


def test_systemd_hears_of_a_loop_only_while_the_other_one_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setattr("worker.observing.watchdog.NOTIFY_SECONDS", 0.0)
    stuck = Watchdog(max_silence_seconds=0.05)
    turning = Watchdog(others_alive=lambda: stuck.alive)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(0.1)
        turning.feed()
        assert listener.recv(100) == b"WATCHDOG=1"
        time.sleep(0.1)
        turning.feed()
        with pytest.raises(TimeoutError):
            listener.recv(100)
