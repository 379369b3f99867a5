"""Made signals whose faults are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.extraction.statistics import ChannelStatistics
from worker.local.recordings import recording

RATE = 1000.0  # Hz
SECONDS = 20
TIME = np.arange(int(RATE * SECONDS)) / RATE


def emg(seed: int = 1) -> NDArray[np.float64]:
    """Noise within 20 to 450 Hz, of power 1."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(len(TIME)))
    frequencies = np.fft.rfftfreq(len(TIME), 1 / RATE)
    spectrum[(frequencies < 20) | (frequencies > 450)] = 0
    noise = np.asarray(np.fft.irfft(spectrum, len(TIME)), np.float64)
    power = float(np.square(noise).mean())
    made: NDArray[np.float64] = noise / power**0.5
    return made


def tone(frequency: float, share: float) -> NDArray[np.float64]:
    """A tone that takes such a share of the power, beside a signal of power 1."""
    amplitude = (2 * share / (1 - share)) ** 0.5
    made: NDArray[np.float64] = amplitude * np.sin(2 * np.pi * frequency * TIME)
    return made


def file_of(
    signal: NDArray[np.floating], *, rate: float = RATE, name: str = "CH1 Raw", unit: str = "V"
) -> bytes:
    """A recording of one channel."""
    return recording(
        signal[:, None].astype(np.float32),
        samples_per_frame=10,
        frame_rate=rate / 10,
        labels=[name],
        groups={"ANALOG": {"UNITS": [unit]}},
    )


def codes(channel: ChannelStatistics) -> list[str]:
    """The codes of a channel's verdicts."""
    return [verdict.code for verdict in channel.verdicts]
