"""Lost samples: found where they are, and never where a signal only rests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.extraction.signals import codes, emg, file_of
from worker.extraction.dropouts import MAX_RUNS, HeldRuns
from worker.extraction.statistics import ChannelStatistics
from worker.extraction.verdicts import Verdict


def dropout(channel: ChannelStatistics) -> Verdict | None:
    """Return the channel's dropouts, if it has any."""
    return next((each for each in channel.verdicts if each.code == "dropout"), None)


@pytest.mark.parametrize("value", [0.0, 0.37, -9.0, 40.0, np.nan], ids=str)
@pytest.mark.parametrize("place", [0, 7777, 19_730], ids=["first", "within", "last"])
def test_lost_samples_are_found_and_left_out(measure: Any, value: float, place: int) -> None:
    signal = emg().astype(np.float32).astype(np.float64)
    signal[place : place + 270] = value
    (channel,) = measure(file_of(signal))
    assert dropout(channel) == Verdict("dropout", count=1, seconds=0.27)
    rest = np.delete(signal, slice(place, place + 270))
    assert channel.rms == pytest.approx(np.sqrt((rest**2).mean()))
    assert channel.mean == pytest.approx(rest.mean(), abs=1e-6)
    assert not channel.clipped
    assert "motion" not in codes(channel)


@pytest.mark.parametrize("length", [9, 10])
def test_a_dropout_lasts_ten_milliseconds(measure: Any, length: int) -> None:
    signal = emg()
    signal[5000 : 5000 + length] = signal[4999]
    signal[5000 + length] += 1e-3  # and no longer
    (channel,) = measure(file_of(np.delete(signal, 4999)))
    assert (dropout(channel) is not None) == (length == 10)


def test_dropouts_are_counted_and_their_time_is_added(measure: Any) -> None:
    signal = emg()
    for place in (1000, 5000, 12_000):
        signal[place : place + 100] = -9.0
    assert dropout(measure(file_of(signal))[0]) == Verdict("dropout", count=3, seconds=0.3)


@pytest.mark.parametrize("block", [777, 4096, 100_000])
def test_the_blocks_of_the_reading_do_not_matter(
    measure: Any, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("worker.extraction.samples.BLOCK_BYTES", block)
    signal = emg()
    for place in range(1000, 19_000, 997):
        signal[place : place + 40] = -9.0
    found = dropout(measure(file_of(signal))[0])
    assert found is not None
    assert found.count == 19
    assert found.seconds == pytest.approx(0.76)


def test_a_leap_from_silence_to_the_limit_is_a_dropout(measure: Any) -> None:
    effort = np.repeat([0.01, 1.0, 0.01], [8000, 4000, 8000])
    signal = emg() * effort
    signal[2000:2270] = signal.min() * 1.01
    (channel,) = measure(file_of(signal))
    assert dropout(channel) == Verdict("dropout", count=1, seconds=0.27)
    assert not channel.clipped


def test_a_rectified_signal_rests_at_zero(measure: Any) -> None:
    signal = np.abs(emg()) + 0.5
    for place in range(0, 20_000, 1000):
        signal[place : place + 800] = 0.0
    assert codes(measure(file_of(signal))[0]) == []


def test_an_unloaded_force_plate_is_zero(measure: Any) -> None:
    signal = np.repeat([0.0, 1.0, 0.0, 1.0], 5000) * (emg() * 5 + 700)
    assert dropout(measure(file_of(signal, name="Fz1", unit="N"))[0]) is None
    signal[3000:3500] = 5000.0
    assert dropout(measure(file_of(signal, name="Fz1", unit="N"))[0]) is not None


def test_a_slow_signal_rests_at_zero(measure: Any) -> None:
    slow = np.sin(np.arange(20_000) / 800) * 300
    slow[6000:12_000] = 0.0
    assert dropout(measure(file_of(slow))[0]) is None


def test_a_switch_loses_nothing(measure: Any) -> None:
    levels = np.repeat([0.0, 5.0, 0.0, 5.0, 0.0], [3000, 9000, 500, 4000, 3500])
    assert dropout(measure(file_of(levels))[0]) is None


def test_a_coarse_signal_repeats_itself(measure: Any) -> None:
    level = np.clip(np.sin(np.arange(20_000) / 1500), 0, None)
    coarse = (np.random.default_rng(4).standard_normal(20_000) * (0.3 + 20 * level)).round()
    assert dropout(measure(file_of(coarse))[0]) is None


def test_plateaus_at_the_limit_are_clipping(measure: Any) -> None:
    signal = np.cumsum(emg())
    limit = np.quantile(signal, 0.97)
    (channel,) = measure(file_of(np.minimum(signal, limit)))
    assert channel.clipped
    assert dropout(channel) is None


def test_of_endless_runs_the_longest_are_kept() -> None:
    runs = HeldRuns(1, 1000.0)
    random = np.random.default_rng(1)
    for _ in range(40):
        runs.add(np.repeat(random.standard_normal(100), 60).reshape(1, -1))
    runs.finish()
    assert len(runs._channels[0].runs) <= MAX_RUNS


def test_a_signal_that_is_held_everywhere_loses_nothing(measure: Any) -> None:
    """As when a slow sensor is stored at a quick one's rate."""
    held = np.repeat(emg()[:500], 40)
    assert dropout(measure(file_of(held))[0]) is None
