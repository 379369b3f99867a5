"""The envelope: each channel's extremes over time, in bounded memory, whatever the samples are."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from worker.extraction.envelope import MAX_CHANNELS, MAX_COLUMNS, Envelope, Mark
from worker.extraction.running_envelope import RunningEnvelope
from worker.extraction.statistics import read_signals
from worker.local.recordings import ghostly_recording, recording

NOISE = np.random.default_rng(5).standard_normal((2, 10_007))


def _envelope(samples: np.ndarray, sizes: list[int] | None = None) -> Envelope:
    channels, length = samples.shape
    running = RunningEnvelope(channels, length)
    for block in np.split(samples, np.cumsum(sizes or [])[:-1] if sizes else [], axis=1):
        running.add(block)
    return running.finish(["a"] * channels, ["mV"] * channels, 1000.0)


def _rows(envelope: Envelope) -> tuple[np.ndarray, np.ndarray]:
    shape = (len(envelope.names), envelope.columns)
    return np.array(envelope.low).reshape(shape), np.array(envelope.high).reshape(shape)


def test_each_column_holds_the_extremes_of_its_share_of_the_samples() -> None:
    low, high = _rows(_envelope(NOISE))
    edges = [column * NOISE.shape[1] // MAX_COLUMNS for column in range(MAX_COLUMNS)]
    shares = np.split(NOISE, edges[1:], axis=1)
    assert low == pytest.approx(np.stack([share.min(axis=1) for share in shares], axis=1))
    assert high == pytest.approx(np.stack([share.max(axis=1) for share in shares], axis=1))


@pytest.mark.parametrize("sizes", [[1, 10_006], [5000, 7, 5000], [3000, 3000, 3000, 1007]])
def test_it_does_not_depend_on_the_blocks(sizes: list[int]) -> None:
    assert _envelope(NOISE, sizes) == _envelope(NOISE)


def test_a_few_samples_are_a_column_each() -> None:
    low, high = _rows(_envelope(np.array([[3.0, -1.0, 2.0]])))
    assert low.tolist() == high.tolist() == [[3.0, -1.0, 2.0]]


def test_what_is_not_finite_is_a_gap_and_spoils_no_neighbour() -> None:
    samples = np.ones((1, 2 * MAX_COLUMNS))
    samples[0, 10] = np.nan  # beside a finite one, in the same column
    samples[0, 20:22] = np.nan, np.inf
    low, high = _rows(_envelope(samples))
    assert low[0, 5] == high[0, 5] == 1.0
    assert np.isnan(low[0, 10])
    assert np.isnan(high[0, 10])
    assert np.isnan(low).sum() == 1


def test_a_value_beyond_a_real_of_32_bits_is_cut() -> None:
    _, high = _rows(_envelope(np.array([[1e300, -1e300]])))
    assert np.isfinite(high).all()


def test_of_very_many_channels_the_first_are_kept() -> None:
    running = RunningEnvelope(300, 5)
    running.add(np.zeros((300, 5)))
    envelope = running.finish(["n"] * 300, [""] * 300, None, marks=[Mark(299, 0, 1, "dropout")])
    assert (len(envelope.names), envelope.channels) == (MAX_CHANNELS, 300)
    assert envelope.marks == ()


def test_its_memory_does_not_grow_with_the_recording() -> None:
    assert _envelope(np.zeros((2, 500_000))).size == _envelope(np.zeros((2, 5000))).size


def test_a_process_without_numpy_can_hold_it() -> None:
    held = (
        "import pickle, sys; print(pickle.load(sys.stdin.buffer).columns, 'numpy' in sys.modules)"
    )
    pickled = pickle.dumps(_envelope(NOISE))
    said = subprocess.run(
        [sys.executable, "-c", held], input=pickled, capture_output=True, check=True
    )
    assert said.stdout.split() == [str(MAX_COLUMNS).encode(), b"False"]


def test_one_reading_of_a_recording_gives_the_statistics_and_the_envelope(tmp_path: Path) -> None:
    path = tmp_path / "recording.c3d"
    path.write_bytes(ghostly_recording())
    statistics, envelope = read_signals(path, envelope=True)
    assert envelope is not None
    assert envelope.names == tuple(each.name for each in statistics)
    low, high = _rows(envelope)
    assert low.min(axis=1) == pytest.approx([each.minimum for each in statistics])
    assert high.max(axis=1) == pytest.approx([each.maximum for each in statistics])
    assert envelope.seconds == 20.0
    assert read_signals(path) == (statistics, None)  # gathered only where it is asked for


def test_a_recording_without_samples_has_none(tmp_path: Path) -> None:
    path = tmp_path / "recording.c3d"
    path.write_bytes(recording(None, frames=10, points=1))
    assert read_signals(path, envelope=True).envelope is None


def test_it_marks_where_samples_were_lost_and_where_the_signal_was_cut_off(tmp_path: Path) -> None:
    samples = np.random.default_rng(9).standard_normal((10_000, 3)).astype(np.float32)
    samples[2000:2300, 0] = 0.0  # a hole
    samples[5000:6000, 1] = np.clip(3 * samples[5000:6000, 1], -5.0, 5.0)
    samples[:5000, 1], samples[6000:, 1] = samples[:5000, 1] / 2, samples[6000:, 1] / 2
    path = tmp_path / "recording.c3d"
    path.write_bytes(recording(samples, frame_rate=1000.0, labels=["lost", "cut", "good"]))
    _, envelope = read_signals(path, envelope=True)
    assert envelope is not None
    (hole,) = (mark for mark in envelope.marks if mark.code == "dropout")
    assert hole.channel == 0
    assert (hole.start, hole.end) == pytest.approx((2.0, 2.3), abs=0.01)
    cut = [mark for mark in envelope.marks if mark.code == "clipped"]
    assert cut
    assert {mark.channel for mark in cut} == {1}
    assert min(mark.start for mark in cut) >= 4.99
    assert max(mark.end for mark in cut) <= 6.01
    assert envelope.notes[0].startswith("Samples were lost once")
    assert envelope.notes[1].startswith("The signal was cut off")
    assert envelope.notes[2] == ""
