"""Builds C3D recordings, for the demo and the tests.

`ghostly_recording` builds one like a session of the game. `recording` builds any file, valid or
broken: every number that the file states can be replaced or left out.

Source: the C3D manual, "The Header Section", "The Parameter Section", "The 3D Data Section".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

INTEL, DEC, MIPS = 84, 85, 86
BLOCK = 512  # bytes

GHOSTLY_FRAME_RATE = 33.0  # Hz
GHOSTLY_SAMPLES_PER_FRAME = 30
LOST_SAMPLES, LOST_VALUE = 270, -0.0055  # in volts, as in the game's public samples
GHOSTLY_CHANNELS = ("CH1 Raw", "CH2 Raw", "CH1 activated", "CH2 activated")


@dataclass(frozen=True, slots=True)
class Raw:
    """A parameter's value as bytes: type (-1, 1, 2 or 4), dimensions and data, unchecked."""

    kind: int
    dimensions: tuple[int, ...]
    data: bytes


Value: TypeAlias = "int | float | str | list[int] | list[float] | list[str] | Raw | None"
Groups: TypeAlias = "Mapping[str, Mapping[str, Value]]"


def recording(
    analog: NDArray[np.floating] | NDArray[np.integer] | None = None,
    *,
    samples_per_frame: int = 1,
    frame_rate: float = 100.0,
    frames: int | None = None,
    points: int = 0,
    labels: Sequence[str] | None = None,
    real: bool = True,
    processor: int = INTEL,
    first_frame: int = 1,
    groups: Groups | None = None,
    header: Mapping[str, int | float] | None = None,
) -> bytes:
    """Build a C3D file.

    Args:
        analog: samples as stored, of shape (samples, channels); None for no analog data.
        samples_per_frame: samples of each channel in a frame.
        frame_rate: in Hz; ANALOG:RATE follows from it.
        frames: the number of frames; None: as many as `analog` has.
        points: the number of points in every frame, all zeros.
        labels: one name per channel; None for CH1, CH2 and so on.
        real: whether the data are 32-bit reals or 16-bit integers.
        processor: INTEL, DEC or MIPS.
        first_frame: the number of the first frame.
        groups: parameters to add or replace, by group and name; the value None removes one.
        header: header words to replace: `points`, `analog`, `first`, `last`, `scale`, `data_block`,
            `samples_per_frame`, `frame_rate`, `events`.

    Returns:
        The file, whose data end exactly at the last frame.
    """
    channels = 0 if analog is None else analog.shape[1]
    if frames is None:
        frames = 0 if analog is None else analog.shape[0] // samples_per_frame
    scale = -1.0 if real else 1.0
    parameters = _standard_groups(points, frames, frame_rate, samples_per_frame, scale)
    parameters["ANALOG"] |= _channel_parameters(channels, labels)
    for group, values in (groups or {}).items():
        parameters.setdefault(group, {}).update(values)
    data_start = parameters["POINT"].setdefault("DATA_START", 0)
    data_block = 2 + len(_section(parameters, processor)) // BLOCK
    if data_start == 0:  # `groups` does not replace it
        parameters["POINT"]["DATA_START"] = data_block
    words: dict[str, int | float] = {
        "points": points,
        "analog": channels * samples_per_frame,
        "first": first_frame,
        "last": min(max(first_frame + frames - 1, 0), 65535),
        "scale": scale,
        "data_block": data_block,
        "samples_per_frame": samples_per_frame if channels else 0,
        "frame_rate": frame_rate,
        "events": 0,
        **(header or {}),
    }
    data = _data(analog, frames, points, samples_per_frame, real=real, processor=processor)
    return _header(words, processor) + _section(parameters, processor) + data


def ghostly_recording(seconds: float = 20.0, seed: int = 0, *, lossy: bool = False) -> bytes:
    """Build a recording like those of the game: two muscles, raw and activated, at 990 Hz.

    Like the real ones it has one unused point, floats, its data at byte 1,536, placeholders for
    the names of people, and a DURATION that is shorter than its frames. Beyond 65,535 frames (33
    minutes) its 16-bit count wraps, so the worker refuses the file. The same `seed` builds the same
    file. With `lossy`, the second muscle's radio link is lost twice, as it is now and then.
    """
    frames = max(round(seconds * GHOSTLY_FRAME_RATE), 1)
    random = np.random.default_rng(seed)
    samples = frames * GHOSTLY_SAMPLES_PER_FRAME
    rate = GHOSTLY_FRAME_RATE * GHOSTLY_SAMPLES_PER_FRAME
    muscles = [_muscle(samples, rate, random) for _ in range(2)]
    activated = [_envelope(muscle, rate) for muscle in muscles]
    for second in (0.25 * seconds, 0.6 * seconds) if lossy else ():
        muscles[1][round(second * rate) :][:LOST_SAMPLES] = LOST_VALUE
    return recording(
        np.column_stack(muscles + activated),
        samples_per_frame=GHOSTLY_SAMPLES_PER_FRAME,
        frame_rate=GHOSTLY_FRAME_RATE,
        points=1,
        labels=GHOSTLY_CHANNELS,
        groups=_ghostly_groups(frames, random),
        header={"last": frames % 65536},
    )


def _muscle(samples: int, rate: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Return surface EMG in volts, of shape (samples,): noise whose level follows contractions."""
    time = np.arange(samples) / rate
    period = random.uniform(2.5, 4.0)  # seconds from contraction to contraction
    effort = np.clip(np.sin(2 * np.pi * (time / period + random.uniform())), 0, None)
    noise = random.standard_normal(samples)
    return noise * (4e-6 + 1.5e-4 * effort * random.uniform(0.6, 1.0))


def _envelope(signal: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Return the moving average of the rectified signal over a tenth of a second."""
    width = int(rate / 10)
    total: NDArray[np.float64] = np.cumsum(np.concatenate([np.zeros(width), np.abs(signal)]))
    return np.subtract(total[width:], total[:-width]) / width


def _ghostly_groups(frames: int, random: np.random.Generator) -> Groups:
    day, hour, minute = (int(random.integers(*bounds)) for bounds in ((1, 29), (9, 18), (0, 60)))
    return {
        "POINT": {"LABELS": ["PlayerPosition"], "FRAMES": frames % 65536},
        "SUBJECTS": {
            "MARKER_SET": "Using ETRO extended marker set",
            "PLAYER_NAME": "Default",
            "GAME_SCORE": float(random.integers(5, 40)),
        },
        "INFO": {
            "SYSTEM": "OpenFeasyo",
            "EVENT": "gameplay",
            "GAME_NAME": "Ghostly",
            "GAME_LEVEL_NAME": " --- ",
            "GAME_LEVEL": int(random.integers(1, 10)),
            "OPTIMIZED": 0,
            "VERSION": "OpenFeasyo.Android",
            "DURATION": max(int(frames / GHOSTLY_FRAME_RATE) - 1, 0),
            "THERAPIST_ID": "---",
            "GROUP_ID": "N/A",
            "TIME": [f"{part:<4}" for part in (2025, 3, day, hour, minute)],
        },
    }


def _standard_groups(
    points: int, frames: int, frame_rate: float, samples_per_frame: int, scale: float
) -> dict[str, dict[str, Value]]:
    return {
        "POINT": {
            "USED": points,
            "SCALE": scale,
            "RATE": frame_rate,
            "FRAMES": min(frames, 65535),
        },
        "ANALOG": {"USED": 0, "RATE": frame_rate * samples_per_frame, "GEN_SCALE": 1.0},
    }


def _channel_parameters(channels: int, labels: Sequence[str] | None) -> dict[str, Value]:
    labels = labels or [f"CH{number}" for number in range(1, channels + 1)]
    parameters: dict[str, Value] = {"USED": channels}
    for number, start in enumerate(range(0, channels, 255), start=1):
        suffix = "" if number == 1 else str(number)  # the 256th channel starts LABELS2
        part = min(channels - start, 255)
        parameters |= {
            f"LABELS{suffix}": list(labels[start : start + 255]),
            f"SCALE{suffix}": [1.0] * part,
            f"OFFSET{suffix}": [0] * part,
        }
    return parameters


def _header(words: Mapping[str, int | float], processor: int) -> bytes:
    order = _order(processor)
    integers = [int(words[name]) for name in ("points", "analog", "first", "last")]
    return (
        bytes([2, 0x50])
        + struct.pack(order + "5H", *integers, 10)  # the largest interpolated gap, in frames
        + reals([words["scale"]], processor)
        + struct.pack(order + "2H", int(words["data_block"]), int(words["samples_per_frame"]))
        + reals([words["frame_rate"]], processor)
        + bytes(276)
        + struct.pack(order + "H", int(words["events"]))
    ).ljust(BLOCK, b"\0")


def _section(parameters: Groups, processor: int) -> bytes:
    records = []
    for number, (group, values) in enumerate(parameters.items(), start=1):
        records.append(record(group, -number, b"\0", processor))
        records += [
            parameter(name, number, value, processor)
            for name, value in values.items()
            if value is not None
        ]
    content = b"".join(records) + b"\0\0"
    blocks = -(-(len(content) + 4) // BLOCK)
    start = bytes([1, 0x50, blocks % 256, processor])
    return (start + content).ljust(blocks * BLOCK, b"\0")


def parameter(name: str, group_id: int, value: Value, processor: int = INTEL) -> bytes:
    """Return the record of a parameter in the section."""
    raw = _raw(value, processor)
    body = struct.pack("bB", raw.kind, len(raw.dimensions)) + bytes(raw.dimensions) + raw.data
    return record(name, group_id, body + b"\0", processor)


def record(name: str, group_id: int, body: bytes, processor: int = INTEL) -> bytes:
    """Return a record of the section: a group if `group_id` is negative, else a parameter."""
    encoded = name.encode("latin-1")
    pointer = struct.pack(_order(processor) + "H", 2 + len(body))
    return struct.pack("bb", len(encoded), group_id) + encoded + pointer + body


def _raw(value: Value, processor: int) -> Raw:
    if isinstance(value, Raw):
        return value
    values = value if isinstance(value, list) else [value]
    dimensions = (len(values),) if isinstance(value, list) else ()
    if values and isinstance(values[0], str):
        texts = [str(text).encode() for text in values]
        width = max(map(len, texts))
        return Raw(-1, (width, *dimensions), b"".join(text.ljust(width) for text in texts))
    if values and isinstance(values[0], float):
        return Raw(4, dimensions, reals(np.asarray(values, np.float64), processor))
    words = np.asarray(values, np.int64) % 65536
    return Raw(2, dimensions, words.astype(_order(processor) + "u2").tobytes())


def reals(values: Sequence[float] | NDArray[np.floating], processor: int = INTEL) -> bytes:
    """Return 32-bit reals as the processor writes them.

    A DEC real has the bits of four times the number, with its two words swapped. Infinity and NaN,
    which DEC does not have, are written in the same way.
    """
    with np.errstate(over="ignore"):  # 1e39 becomes infinity
        numbers = np.asarray(values, dtype=np.float32)
        if processor == DEC:
            return (numbers * np.float32(4)).view("<u2").reshape(-1, 2)[:, ::-1].tobytes()
    return numbers.astype(_order(processor) + "f4").tobytes()


def _data(
    analog: NDArray[np.floating] | NDArray[np.integer] | None,
    frames: int,
    points: int,
    samples_per_frame: int,
    *,
    real: bool,
    processor: int,
) -> bytes:
    """Return the frames: in each the points, then for each sample every channel."""
    values = np.zeros((frames, points * 4))
    if analog is not None and frames:
        used = analog[: frames * samples_per_frame]
        values = np.concatenate([values, used.reshape(frames, -1)], axis=1)
    if real:
        return reals(values.astype(np.float32).ravel(), processor)
    return (values.astype(np.int64) % 65536).astype(_order(processor) + "u2").tobytes()


def _order(processor: int) -> str:
    return ">" if processor == MIPS else "<"
