"""A recording that costs too much costs its own session, and nobody else's."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from worker.errors import NotC3DError, TooCostlyC3DError
from worker.extraction.isolation import Extracted, Isolation
from worker.extraction.metadata import read_metadata
from worker.local.recordings import ghostly_recording

NOTHING = Extracted(technical={}, game={}, statistics={})


def misbehave(path: Path) -> Extracted:
    """Do what the file says: no real recording is known that hangs or kills a reader."""
    match path.read_text():
        case "hang":
            time.sleep(60)
        case "die":
            os._exit(9)
        case "swell":
            bytearray(300_000_000)
    return NOTHING


@pytest.fixture
def isolation() -> Iterator[Isolation]:
    pool = Isolation(seconds=1, megabytes=100, children=1, read=misbehave)
    yield pool
    pool.close()


def _outcome(isolation: Isolation, path: Path) -> object:
    try:
        return isolation.submit(path).result(timeout=20)
    except Exception as error:  # noqa: BLE001 - the pool raises kinds of its own
        return isolation.explain(error, path.name)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("hang", "hang.c3d took longer than 1 s"),
        ("die", "die.c3d ended the process that read it"),
        ("swell", "swell.c3d took more than 100 MB of memory"),
    ],
)
def test_a_file_that_exceeds_a_limit_three_times_leaves_the_next_one_served_within_a_second(
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
    started = time.monotonic()
    assert _outcome(isolation, good) == NOTHING
    assert time.monotonic() - started < 1.0


def test_another_child_serves_while_one_hangs(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.c3d", tmp_path / "good.c3d"
    bad.write_text("hang")
    good.write_text("well behaved")
    pool = Isolation(seconds=20, megabytes=100, children=2, read=misbehave)
    try:
        hanging = pool.submit(bad)
        assert pool.submit(good).result(timeout=5) == NOTHING
        assert not hanging.done()
    finally:
        pool.close()


def test_a_child_reads_what_the_parent_would(tmp_path: Path) -> None:
    content = ghostly_recording(seconds=5.0)
    path, refused = tmp_path / "good.c3d", tmp_path / "bad.c3d"
    path.write_bytes(content)
    refused.write_bytes(b"no recording")
    pool = Isolation(seconds=20, megabytes=512, children=1)
    try:
        extracted = pool.submit(path).result(timeout=20)
        expected = read_metadata(content, len(content))
        assert extracted.technical == expected.row()
        assert extracted.game == expected.game
        assert [c["name"] for c in extracted.statistics["channels"]] == list(expected.channel_names)
        with pytest.raises(NotC3DError) as caught:
            pool.submit(refused).result(timeout=20)
        assert str(caught.value).endswith(NotC3DError.cure)
        assert str(caught.value).count(NotC3DError.cure) == 1
    finally:
        pool.close()


def test_closing_leaves_no_child(tmp_path: Path) -> None:
    bad = tmp_path / "bad.c3d"
    bad.write_text("hang")
    before = set(psutil.Process().children(recursive=True))
    pool = Isolation(seconds=20, megabytes=100, children=2, read=misbehave)
    pool.submit(bad)
    time.sleep(0.5)
    children = set(psutil.Process().children(recursive=True)) - before
    assert children
    pool.close()
    _, alive = psutil.wait_procs([c for c in children if "resource_tracker" not in str(c)], 5)
    assert [each for each in alive if "resource_tracker" not in " ".join(each.cmdline())] == []
