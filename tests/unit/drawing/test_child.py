"""Drawing in a child: within its limits, and never longer there than wanted."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from worker.drawing.child import Drawer
from worker.errors import ReaderLostError
from worker.extraction.envelope import Envelope
from worker.extraction.errors import NotC3DError, TooCostlyC3DError
from worker.extraction.running_envelope import RunningEnvelope
from worker.local.recordings import ghostly_recording

PNG = b"\x89PNG\r\n"


@pytest.fixture
def drawer() -> Iterator[Drawer]:
    drawing = Drawer(seconds=30, megabytes=256)
    yield drawing
    drawing.end()


def envelope() -> Envelope:
    running = RunningEnvelope(1, 1000)
    running.add(np.random.default_rng(1).standard_normal((1, 1000)))
    return running.finish(["CH1 Raw"], ["mV"], 1000.0)


def children() -> set[int]:
    return {
        each.pid
        for each in psutil.Process().children(recursive=True)
        if "resource_tracker" not in " ".join(each.cmdline())
    }


def test_it_draws_what_was_read_and_what_is_to_be_read(drawer: Drawer, tmp_path: Path) -> None:
    path = tmp_path / "recording.c3d"
    path.write_bytes(ghostly_recording(seconds=2.0))
    assert drawer.draw(envelope(), "Session 1").startswith(PNG)
    assert drawer.draw_file(path, "Session 1").startswith(PNG)


def test_a_recording_that_is_refused_is_refused_as_by_its_reader(
    drawer: Drawer, tmp_path: Path
) -> None:
    path = tmp_path / "recording.c3d"
    path.write_bytes(b"%PDF-1.4" + bytes(1000))
    with pytest.raises(NotC3DError):
        drawer.draw_file(path, "Session 1")


def test_the_child_is_there_only_while_there_is_something_to_draw(drawer: Drawer) -> None:
    before = children()
    drawer.draw(envelope(), "Session 1")
    assert len(children() - before) == 1
    drawer.close()
    assert children() <= before
    assert drawer.draw(envelope(), "Session 1").startswith(PNG)


def test_a_picture_that_takes_too_long_costs_itself_alone(tmp_path: Path) -> None:
    stuck = tmp_path / "pipe"
    os.mkfifo(stuck)
    drawing = Drawer(seconds=3, megabytes=256)
    try:
        with pytest.raises(TooCostlyC3DError):
            drawing.draw_file(stuck, "Session 1")
        with pytest.raises(NotC3DError):
            drawing.draw_file(Path(__file__), "Session 1")
    finally:
        drawing.end()


def test_a_worker_that_ends_waits_for_no_picture(tmp_path: Path) -> None:
    stuck = tmp_path / "pipe"
    os.mkfifo(stuck)
    drawing, said = Drawer(seconds=60, megabytes=256), list[BaseException]()

    def draw() -> None:
        try:
            drawing.draw_file(stuck, "Session 1")
        except ReaderLostError as error:
            said.append(error)

    thread = threading.Thread(target=draw)
    thread.start()
    time.sleep(1)
    drawing.end()
    thread.join(timeout=10)
    assert len(said) == 1
    with pytest.raises(ReaderLostError):
        drawing.draw(envelope(), "Session 1")
