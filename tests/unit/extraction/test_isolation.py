"""A recording that costs too much costs its own session, and nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from worker.errors import ReaderLostError
from worker.extraction.errors import NotC3DError, TooCostlyC3DError
from worker.extraction.isolation import Extracted, Isolation
from worker.extraction.metadata import read_metadata
from worker.local.recordings import ghostly_recording

NOTHING = Extracted(technical={}, game={}, statistics={})


def misbehave(path: Path, **_: object) -> Extracted:
    """Do what the file says: no real recording is known that hangs or kills a reader."""
    match path.read_text():
        case "hang":
            time.sleep(60)
        case "be slow":
            time.sleep(0.6)
        case "die":
            os._exit(9)
        case "swell":
            bytearray(300_000_000)
    return NOTHING


@pytest.fixture
def isolation() -> Iterator[Isolation]:
    pool = Isolation(seconds=3, megabytes=100, children=1, read=misbehave)
    yield pool
    pool.close()


def _outcome(isolation: Isolation, path: Path) -> object:
    try:
        return isolation.run(path, path.name)
    except (TooCostlyC3DError, ReaderLostError) as error:
        return error


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("hang", "hang.c3d took longer than 3 s"),
        ("die", "die.c3d ended the process that read it, twice"),
        ("swell", "swell.c3d took more than 100 MB of memory"),
    ],
)
def test_a_file_that_exceeds_a_limit_three_times_leaves_the_next_one_served(
    isolation: Isolation, tmp_path: Path, what: str, said: str
) -> None:
    bad, good = tmp_path / f"{what}.c3d", tmp_path / "good.c3d"
    bad.write_text(what)
    good.write_text("well behaved")
    assert _outcome(isolation, good) == NOTHING
    for _ in range(3):
        outcome = _outcome(isolation, bad)
        assert isinstance(outcome, TooCostlyC3DError)
        assert said in str(outcome)
    assert _outcome(isolation, good) == NOTHING


def test_another_child_serves_while_one_hangs(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.c3d", tmp_path / "good.c3d"
    bad.write_text("hang")
    good.write_text("well behaved")
    pool = Isolation(seconds=5, megabytes=100, children=2, read=misbehave)
    try:
        hanging = threading.Thread(target=_outcome, args=(pool, bad))
        hanging.start()
        assert _outcome(pool, good) == NOTHING
        assert hanging.is_alive()
    finally:
        pool.close()
        hanging.join()


def test_a_child_reads_what_the_parent_would(tmp_path: Path) -> None:
    content = ghostly_recording(seconds=5.0)
    path, refused = tmp_path / "good.c3d", tmp_path / "bad.c3d"
    path.write_bytes(content)
    refused.write_bytes(b"no recording")
    pool = Isolation(seconds=20, megabytes=512, children=1)
    try:
        extracted = pool.run(path, path.name)
        expected = read_metadata(content, len(content))
        assert extracted.technical == expected.row()
        assert extracted.game == expected.game
        assert [c["name"] for c in extracted.statistics["channels"]] == list(expected.channel_names)
        with pytest.raises(NotC3DError) as caught:
            pool.run(refused, refused.name)
        assert str(caught.value).endswith(NotC3DError.cure)
        assert str(caught.value).count(NotC3DError.cure) == 1
    finally:
        pool.close()


def test_children_that_die_while_idle_are_replaced(isolation: Isolation, tmp_path: Path) -> None:
    good = tmp_path / "good.c3d"
    good.write_text("well behaved")
    assert _outcome(isolation, good) == NOTHING
    for child in _children():
        child.kill()
    time.sleep(1.0)  # the pool notices
    assert _outcome(isolation, good) == NOTHING
    assert _outcome(isolation, good) == NOTHING


def test_a_signal_to_the_whole_group_does_not_reach_a_child(tmp_path: Path) -> None:
    group = os.getpgrp()
    pool = Isolation(seconds=20, megabytes=100, children=1, read=misbehave)
    try:
        good = tmp_path / "good.c3d"
        good.write_text("well behaved")
        assert _outcome(pool, good) == NOTHING
        assert [os.getpgid(child.pid) == group for child in _children()] == [False]
    finally:
        pool.close()


def test_the_wall_clock_decides_nothing(
    isolation: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow.c3d"
    slow.write_text("be slow")
    answers: list[object] = []
    reading = threading.Thread(target=lambda: answers.append(_outcome(isolation, slow)))
    reading.start()
    time.sleep(0.2)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    reading.join()
    assert answers == [NOTHING]


def test_closing_leaves_no_child() -> None:
    pool = Isolation(seconds=20, megabytes=100, children=2, read=misbehave)
    while len(children := _children()) < 2:
        time.sleep(0.02)
    pool.close()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []


def _children() -> list[psutil.Process]:
    """The reading children of this process; multiprocessing has a helper of its own beside."""
    below = psutil.Process().children(recursive=True)
    return [each for each in below if "spawn_main" in " ".join(each.cmdline())]


SLOW_TO_START = """
import signal, sys, time
if "--multiprocessing-fork" in sys.orig_argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(0.5)
"""
SHORT_LIVED = """
from worker.extraction.isolation import Isolation
if __name__ == "__main__":
    Isolation(seconds=5, megabytes=100).close()
"""


def test_children_ended_while_they_start_do_not_complain(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_TO_START)
    script = tmp_path / "short_lived.py"
    script.write_text(SHORT_LIVED)
    ended = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr == ""


@pytest.mark.parametrize("pause", [0.2, 0.6, 0.7, 1.0])  # whether a reader is missed is chance
def test_who_reads_at_the_close_waits_for_no_time_limit(tmp_path: Path, pause: float) -> None:
    recording = tmp_path / "hang.c3d"
    recording.write_text("hang")
    pool = Isolation(seconds=50, megabytes=100, read=misbehave)
    outcomes: list[object] = []
    readers = [
        threading.Thread(target=lambda: outcomes.append(_outcome(pool, recording)))
        for _ in range(3)  # one more than there are children
    ]
    for reader in readers:
        reader.start()
    time.sleep(pause)
    pool.close()
    for reader in readers:
        reader.join(timeout=10)
    assert [type(outcome) for outcome in outcomes] == [ReaderLostError] * 3
