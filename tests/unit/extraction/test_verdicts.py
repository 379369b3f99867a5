"""Verdicts on signals whose faults are known, on either side of each threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.extraction.signals import TIME, codes, emg, file_of, tone
from worker.extraction.verdicts import (
    MAINS_SHARE,
    MAX_STEPS,
    MOTION_SHARE,
    SENTENCES,
    Kind,
    Verdict,
    kind,
    sentence,
)
from worker.local.recordings import ghostly_recording, recording


def test_a_clean_signal_has_no_verdict(measure: Any) -> None:
    (channel,) = measure(file_of(emg()))
    assert (channel.verdicts, channel.not_judged) == ((), ())


def test_a_made_session_of_the_game_has_no_verdict(measure: Any) -> None:
    assert [codes(channel) for channel in measure(ghostly_recording(20.0))] == [[]] * 4


@pytest.mark.parametrize("mains", [50.0, 60.0])
@pytest.mark.parametrize("harmonic", [1, 3, 4])
def test_hum_is_found_from_its_threshold_on(measure: Any, mains: float, harmonic: int) -> None:
    (below,) = measure(file_of(emg() + tone(mains * harmonic, MAINS_SHARE - 0.03)))
    (above,) = measure(file_of(emg() + tone(mains * harmonic, MAINS_SHARE + 0.03)))
    assert codes(below) == []
    assert codes(above) == ["mains"]
    assert above.verdicts[0].share == pytest.approx(MAINS_SHARE + 0.03, abs=0.03)


@pytest.mark.parametrize("frequency", [35.0, 75.0, 222.0])
def test_a_tone_elsewhere_is_no_hum(measure: Any, frequency: float) -> None:
    assert codes(measure(file_of(emg() + tone(frequency, 0.3)))[0]) == []


@pytest.mark.parametrize("frequency", [0.05, 1.0, 8.0])
def test_motion_is_found_from_its_threshold_on(measure: Any, frequency: float) -> None:
    (below,) = measure(file_of(emg() + tone(frequency, MOTION_SHARE - 0.04)))
    (above,) = measure(file_of(emg() + tone(frequency, MOTION_SHARE + 0.04)))
    assert codes(below) == []
    assert codes(above) == ["motion"]


def test_an_offset_is_no_motion(measure: Any) -> None:
    assert codes(measure(file_of(emg() + 1000.0))[0]) == []


@pytest.mark.parametrize("rate", [990.0, 4000.0, 100_000.0])
def test_hum_is_found_at_every_rate_that_shows_it(measure: Any, rate: float) -> None:
    time = np.arange(int(rate * 3)) / rate
    noise = np.random.default_rng(2).standard_normal(len(time))
    (channel,) = measure(file_of(0.1 * noise + np.sin(2 * np.pi * 50 * time), rate=rate))
    assert codes(channel) == ["mains"]


@pytest.mark.parametrize(("rate", "seconds"), [(1.0, 600.0), (890.0, 20.0), (1000.0, 0.5)])
def test_what_a_recording_does_not_show_is_not_judged(
    measure: Any, rate: float, seconds: float
) -> None:
    noise: NDArray[np.float64] = np.random.default_rng(2).standard_normal(int(rate * seconds))
    (channel,) = measure(file_of(noise, rate=rate))
    assert (channel.verdicts, channel.not_judged) == ((), ("mains", "motion"))


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("CH1 activated", ""),
        ("Fz1", "V"),
        ("F1X", ""),
        ("CH5", "Nmm"),
        ("GONI", ""),
        ("FSW L", "V"),
    ],
)
def test_hum_says_nothing_of_other_sensors_and_derived_channels(
    measure: Any, name: str, unit: str
) -> None:
    (channel,) = measure(file_of(emg() + tone(50.0, 0.5), name=name, unit=unit))
    assert (channel.verdicts, channel.not_judged) == ((), ())


def test_hum_says_nothing_of_a_rectified_signal(measure: Any) -> None:
    (channel,) = measure(file_of(np.abs(emg() + tone(50.0, 0.5))))
    assert (channel.verdicts, channel.not_judged) == ((), ())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CH1 Raw", Kind.EMG),
        ("", Kind.EMG),
        ("R_TA", Kind.EMG),
        ("EMG6X", Kind.EMG),
        ("Right Tibialis Anterior", Kind.EMG),
        ("PF1Mx", Kind.RESTING),
        ("Force.Fx1", Kind.RESTING),
        ("LEVENT", Kind.RESTING),
        ("Pin 3", Kind.OTHER),
        ("CH2 activated", Kind.DERIVED),
    ],
)
def test_names_tell_what_is_recorded(name: str, expected: Kind) -> None:
    assert kind(name, "V") is expected


@pytest.mark.parametrize("steps", [MAX_STEPS, MAX_STEPS + 1])
def test_a_sensor_of_few_steps_is_coarse_and_never_clipped(measure: Any, steps: int) -> None:
    signal = np.random.default_rng(5).binomial(steps - 1, 0.5, len(TIME)) - steps // 2
    (channel,) = measure(file_of(signal * 1e-6))
    assert codes(channel) == (["coarse"] if steps == MAX_STEPS else [])
    assert not channel.clipped


def test_a_switch_is_not_coarse(measure: Any) -> None:
    assert "coarse" not in codes(measure(file_of((emg() > 0) * 5.0))[0])


@pytest.mark.parametrize("touches", [5, 6])
def test_clipping_takes_some_samples_at_the_limit(measure: Any, touches: int) -> None:
    signal = emg()
    limit = np.sort(np.abs(signal))[-1] * 1.2
    signal[500 : 500 + 100 * touches : 100] = limit
    (channel,) = measure(file_of(signal))
    assert channel.clipped == ("clipped" in codes(channel)) == (touches == 6)


@pytest.mark.parametrize("value", [0.0, 2.5, np.nan, np.inf])
def test_a_flat_channel_is_flat_and_nothing_else(measure: Any, value: float) -> None:
    (channel,) = measure(file_of(np.full(len(TIME), value)))
    assert codes(channel) == ["flat"]
    assert channel.flat
    assert not channel.clipped


@pytest.mark.parametrize("samples", [1, 2, 9])
def test_a_handful_of_samples_breaks_nothing(measure: Any, samples: int) -> None:
    noise = np.random.default_rng(1).standard_normal((samples, 2))
    for channel in measure(recording(noise)):
        assert "dropout" not in codes(channel)
        assert not channel.clipped


def test_infinite_samples_hide_no_fault(measure: Any) -> None:
    signal = emg() + tone(50.0, 0.5)
    signal[[10, 7000]] = np.inf, -np.inf
    (channel,) = measure(file_of(signal))
    assert codes(channel) == ["mains"]
    assert channel.not_finite == 2


def test_every_code_has_a_sentence() -> None:
    for code in SENTENCES:
        said = sentence(Verdict(code, share=0.4123, count=3, seconds=0.5).as_json())
        assert said.endswith(".")
        assert "{" not in said
    assert "3 times, 0.5 s" in sentence({"code": "dropout", "count": 3, "seconds": 0.5})
    assert "lost once:" in sentence({"code": "dropout", "count": 1})
    assert "41 % of" in sentence({"code": "mains", "share": 0.412})
    assert "0.079 % of" in sentence({"code": "clipped", "share": 0.00079})
    assert sentence({"code": "of tomorrow"})
