"""Channel statistics over the whole recording, scaled, in bounded memory."""

from __future__ import annotations

import json
import math
import re
import struct
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worker.extraction import statistics
from worker.extraction.analytics import analytics
from worker.extraction.errors import NotC3DError, TruncatedC3DError, UnsupportedC3DError
from worker.extraction.metadata import open_recording
from worker.extraction.samples import read_scaling, sample_blocks
from worker.extraction.section import PREFIX_BYTES
from worker.extraction.statistics import channel_statistics
from worker.local.recordings import DEC, INTEL, MIPS, Raw, Value, ghostly_recording, recording

NOISE = np.random.default_rng(3).standard_normal((6000, 3)).astype(np.float32)


@pytest.mark.parametrize("processor", [INTEL, DEC, MIPS], ids=["intel", "dec", "mips"])
def test_reals_are_summed_up_for_every_processor(measure: Any, processor: int) -> None:
    channels = measure(recording(NOISE, samples_per_frame=3, points=2, processor=processor))
    for channel, values in zip(channels, NOISE.T.astype(np.float64), strict=True):
        assert channel.samples == 6000
        assert channel.minimum == values.min()
        assert channel.maximum == values.max()
        assert channel.mean == pytest.approx(values.mean())
        assert channel.rms == pytest.approx(np.sqrt((values**2).mean()))
        assert channel.mean_absolute == pytest.approx(np.abs(values).mean())
        assert not channel.flat
        assert not channel.clipped


@pytest.mark.parametrize("processor", [INTEL, DEC, MIPS], ids=["intel", "dec", "mips"])
def test_integers_are_offset_and_scaled(measure: Any, processor: int) -> None:
    raw = np.arange(-300, 300).reshape(-1, 2)
    file = recording(
        raw,
        real=False,
        processor=processor,
        groups={"ANALOG": {"SCALE": [0.5, 2.0], "OFFSET": [100, -50], "GEN_SCALE": 0.25}},
    )
    one, other = measure(file)
    assert (one.minimum, one.maximum) == ((-300 - 100) * 0.125, (298 - 100) * 0.125)
    assert (other.minimum, other.maximum) == ((-299 + 50) * 0.5, (299 + 50) * 0.5)
    assert one.mean == pytest.approx((raw[:, 0].mean() - 100) * 0.125)


def test_unsigned_integers_have_unsigned_offsets(measure: Any) -> None:
    raw = np.array([[40_000], [50_000]])
    file = recording(raw, real=False, groups={"ANALOG": {"FORMAT": "UNSIGNED", "OFFSET": [32_768]}})
    assert measure(file)[0].minimum == 40_000 - 32_768


def test_the_offset_that_no_signed_integer_can_be_is_unsigned(measure: Any) -> None:
    channel = measure(recording(np.full((10, 1), 32768.0), groups={"ANALOG": {"OFFSET": [32768]}}))
    assert channel[0].mean == 0.0


def test_scaling_of_more_than_255_channels_continues(measure: Any) -> None:
    file = recording(
        np.ones((10, 300)), groups={"ANALOG": {"SCALE2": [3.0] * 45, "OFFSET2": [2] * 45}}
    )
    channels = measure(file)
    assert channels[254].mean == 1.0
    assert channels[255].mean == (1 - 2) * 3.0


@pytest.mark.parametrize("name", ["SCALE", "OFFSET", "GEN_SCALE", "UNITS"])
def test_absent_scaling_leaves_the_samples_as_they_are(measure: Any, name: str) -> None:
    channel = measure(recording(NOISE, groups={"ANALOG": {name: None}}))[0]
    assert channel.maximum == np.max(NOISE[:, 0])
    assert channel.unit == ""


def test_units_are_told(measure: Any) -> None:
    channels = measure(recording(NOISE, groups={"ANALOG": {"UNITS": ["V", "mV"]}}))
    assert [channel.unit for channel in channels] == ["V", "mV", ""]


def test_samples_that_are_not_numbers_are_counted_and_left_out(measure: Any) -> None:
    values = NOISE.copy()
    values[10:20, 0] = np.nan
    values[5, 1], values[7, 1] = np.inf, -np.inf
    channels = measure(recording(values, samples_per_frame=3))
    assert [channel.not_finite for channel in channels] == [10, 2, 0]
    assert channels[0].samples == 5990
    for channel, column in zip(channels, values.T.astype(np.float64), strict=True):
        numbers = column[np.isfinite(column)]
        assert channel.minimum == numbers.min()
        assert channel.rms == pytest.approx(np.sqrt((numbers**2).mean()))
        assert channel.mean == pytest.approx(numbers.mean())
        assert all(math.isfinite(level) for level in channel.envelope)


def test_a_channel_without_a_number_has_no_level(measure: Any) -> None:
    channel = measure(recording(np.full((100, 1), np.nan)))[0]
    assert channel.samples == 0
    assert channel.not_finite == 100
    assert channel.minimum is channel.mean is channel.rms is channel.mean_absolute is None
    assert channel.flat
    assert not channel.clipped


def test_a_signalling_nan_and_extreme_factors_are_only_numbers(measure: Any) -> None:
    signalling = struct.pack("<I", 0x7FA00000)
    factors: dict[str, Value] = {
        "GEN_SCALE": Raw(4, (), signalling),
        "SCALE": [3e38, 1.0, math.nan],
    }
    channels = measure(recording(NOISE, groups={"ANALOG": factors}))
    assert [channel.samples for channel in channels] == [0, 0, 0]
    channels = measure(recording(NOISE * 1e37, groups={"ANALOG": {"SCALE": [3e38, 1.0, math.inf]}}))
    assert channels[0].rms is not None
    assert math.isfinite(channels[0].rms)


@pytest.mark.parametrize("level", [0.0, 2.5, -1e-4])
def test_an_unmoved_channel_is_flat_and_not_clipped(measure: Any, level: float) -> None:
    channel = measure(recording(np.full((5000, 1), level)))[0]
    assert channel.flat
    assert not channel.clipped
    assert channel.at_rails == 0.0


def test_the_envelope_follows_the_signal(measure: Any) -> None:
    ramp = np.linspace(0, 1, 6000).reshape(-1, 1) * np.where(np.arange(6000) % 2, 1, -1)[:, None]
    envelope = measure(recording(ramp, samples_per_frame=10))[0].envelope
    assert len(envelope) == 60
    assert np.allclose(envelope, (np.arange(60) + 0.5) / 60, atol=1e-3)


def test_the_envelope_does_not_depend_on_the_blocks(
    measure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = recording(NOISE, samples_per_frame=7)
    at_once = measure(file)
    monkeypatch.setattr("worker.extraction.samples.BLOCK_BYTES", 777)
    for one, other in zip(at_once, measure(file), strict=True):
        assert one.samples == other.samples
        assert one.rms == pytest.approx(other.rms)
        assert one.envelope == pytest.approx(other.envelope)


def test_a_recording_shorter_than_the_envelope_has_one_level_per_sample(measure: Any) -> None:
    assert measure(recording(np.arange(5.0).reshape(-1, 1)))[0].envelope == (0, 1, 2, 3, 4)


def test_a_recording_without_samples_has_no_statistics(measure: Any) -> None:
    assert measure(recording(frames=10, points=2)) == ()
    assert measure(recording(frames=10)) == ()


def test_a_session_of_the_game_has_plausible_statistics(measure: Any) -> None:
    channels = measure(ghostly_recording(20.0))
    assert channels[0].name == "CH1 Raw"
    assert not any(channel.flat or channel.clipped for channel in channels)
    assert all(1e-6 < (channel.rms or 0) < 1e-2 for channel in channels)  # volts


def test_an_unreadable_file_is_refused(measure: Any) -> None:
    with pytest.raises(NotC3DError):
        measure(b"")
    with pytest.raises(TruncatedC3DError):
        measure(ghostly_recording(2.0)[:-1])


def test_a_file_that_shrinks_while_it_is_read_is_truncated(tmp_path: Path) -> None:
    file = recording(NOISE)
    path = tmp_path / "shrinking.c3d"
    path.write_bytes(file[:-4000])
    metadata, layout = open_recording(file[:PREFIX_BYTES], len(file))
    scaling = read_scaling(metadata, layout.channels)
    with (
        path.open("rb") as stream,
        pytest.raises(TruncatedC3DError, match="declares 6,000 frames but ends after 5,666"),
    ):
        list(sample_blocks(stream, metadata, layout, scaling))


def test_only_the_project_s_errors_leave(measure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OverflowError("as numpy might")

    monkeypatch.setattr(statistics, "read_scaling", broken)
    with pytest.raises(UnsupportedC3DError, match="as numpy might"):
        measure(ghostly_recording(1.0))


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    peaks = []
    for seconds in (60.0, 600.0):
        path = tmp_path / f"{seconds}.c3d"
        path.write_bytes(ghostly_recording(seconds))
        channel_statistics(path)  # whatever numpy allocates once
        tracemalloc.start()
        channel_statistics(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 10_000_000  # bytes


@pytest.mark.parametrize("channels", [1, 4, 64, 255, 300, 2000])
def test_the_cache_keeps_less_than_64_kb_of_a_session(measure: Any, channels: int) -> None:
    random = np.random.default_rng(channels)
    file = recording(random.standard_normal((200, channels)) * 1e-5)
    kept = analytics(measure(file))
    assert len(json.dumps(kept)) < 64 * 1024
    assert len(kept["channels"]) + kept["omitted"] == channels
    assert kept["omitted"] == 0 or channels > 200
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept


def test_endless_names_do_not_break_the_bound(measure: Any) -> None:
    labels = ["→" * 80 for _ in range(120)]
    kept = analytics(measure(recording(np.zeros((20, 120)), labels=labels)))
    assert len(json.dumps(kept, ensure_ascii=False).encode()) < 64 * 1024


def test_cached_numbers_are_short(measure: Any) -> None:
    entry = analytics(measure(recording(NOISE)))["channels"][0]
    assert entry["rms"] == float(f"{entry['rms']:.6g}")
    assert all(level == float(f"{level:.3g}") for level in entry["envelope"])


def test_the_cache_keeps_less_than_64_kb_as_postgresql_prints_it(measure: Any) -> None:
    """A jsonb spells 1e-38 out with all its zeros."""
    kept = analytics(measure(recording(NOISE.repeat(50, axis=1) * 1e-38)))
    assert len(kept["channels"]) + kept["omitted"] == 150
    spelled = json.dumps(kept, ensure_ascii=False)
    for number in set(re.findall(r"\d[\d.]*e-\d+", spelled)):
        spelled = spelled.replace(number, format(Decimal(number), "f"))
    assert len(spelled.encode()) < 64 * 1024
