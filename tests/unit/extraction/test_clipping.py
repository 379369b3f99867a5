"""Channels whose signal stays at the limits of what recorded it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worker.local.recordings import Value, recording

NOISE = np.random.default_rng(3).standard_normal((6000, 3)).astype(np.float32)


def test_saturated_reals_are_clipped(measure: Any) -> None:
    channel = measure(recording(np.clip(NOISE, -1, 1)))[0]
    assert channel.clipped
    assert channel.at_rails == pytest.approx(0.317, abs=0.02)  # beyond one standard deviation


def test_saturated_reals_that_jitter_are_clipped(measure: Any) -> None:
    jitter = np.clip(NOISE, -1, 1) + NOISE[::-1] * 1e-4
    assert measure(recording(jitter))[0].clipped


def test_a_rectified_signal_at_rest_is_not_clipped(measure: Any) -> None:
    channel = measure(recording(np.clip(NOISE, 0, None)))[0]
    assert channel.minimum == 0.0
    assert not channel.clipped


@pytest.mark.parametrize(
    ("parameters", "limits"),
    [
        ({}, (-32768, 32767)),
        ({"FORMAT": "UNSIGNED"}, (0, 65535)),
        ({"BITS": 12}, (-2048, 2047)),
        ({"BITS": 12, "OFFSET": [2048]}, (0, 4095)),
        ({"BITS": 12, "FORMAT": "UNSIGNED"}, (0, 4095)),
        ({"BITS": 12, "SCALE": [-0.5]}, (-2048, 2047)),
    ],
)
def test_integers_are_clipped_at_the_limits_of_the_converter(
    measure: Any, parameters: dict[str, Value], limits: tuple[int, int]
) -> None:
    ramp = np.linspace(limits[0] + 2, limits[1] - 1, 5000).round().reshape(-1, 1)
    assert not measure(recording(ramp, real=False, groups={"ANALOG": parameters}))[0].clipped
    for limit in limits:
        limited = ramp.copy()
        limited[(np.arange(5000) % 500) < 5] = limit  # ten times
        channel = measure(recording(limited, real=False, groups={"ANALOG": parameters}))[0]
        assert channel.clipped
    assert channel.at_rails == 50 / 5000


@pytest.mark.parametrize(
    ("least", "most"), [(-2047, 2047), (-2048, 2047), (-511, 511), (-127, 127)]
)
def test_integers_that_stop_at_the_limits_of_a_smaller_converter_are_clipped(
    measure: Any, least: int, most: int
) -> None:
    loud = np.clip((NOISE[:, :1] * most).round(), least, most)
    quiet = np.clip((NOISE[:, :1] * most / 8).round(), least + 2, most - 2)
    clipped, whole = measure(recording(np.hstack([loud, quiet]), real=False))
    assert clipped.clipped
    assert clipped.at_rails == pytest.approx(0.317, abs=0.02)  # beyond one standard deviation
    assert not whole.clipped


def test_one_long_swing_into_the_limit_is_clipping(measure: Any) -> None:
    signal = NOISE[:, 0].astype(np.float64) * 0.05
    signal[3000:3200] -= 2.0 * np.sin(np.linspace(0, np.pi, 200))
    (channel,) = measure(recording(np.maximum(signal, -1.25)[:, None]))
    assert channel.clipped
    assert [verdict.code for verdict in channel.verdicts] == ["clipped"]


@pytest.mark.parametrize("steps", [60, 120, 400])
def test_a_smooth_peak_that_a_converter_rounds_is_not_clipped(measure: Any, steps: int) -> None:
    force = np.sin(np.linspace(0, np.pi, 2000)) ** 2 * steps
    jitter = NOISE[:2000, 0] * 0.4
    assert not measure(recording((force + jitter).round()[:, None] - 3.0))[0].clipped
