"""What the cache keeps: every channel's verdicts first, then levels, then envelopes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from worker.extraction.analytics import MAX_BYTES, analytics, with_sentences
from worker.extraction.statistics import ChannelStatistics
from worker.extraction.verdicts import Verdict

WORST = (
    Verdict("dropout", count=1234, seconds=123.0),
    Verdict("clipped", share=0.0123),
    Verdict("mains", share=0.412),
    Verdict("motion", share=0.912),
)
CHANNEL = ChannelStatistics(
    name="→" * 200,
    unit="V" * 200,
    samples=28_512_000,
    minimum=-0.00549367,
    maximum=0.00548234,
    mean=-1.23456e-05,
    rms=0.000498123,
    mean_absolute=0.000123456,
    at_rails=0.0123456,
    not_finite=12_345,
    flat=False,
    clipped=True,
    envelope=(0.000123,) * 60,
    verdicts=WORST,
    not_judged=(),
)


def size(kept: dict[str, Any]) -> int:
    """Bytes of the object as the database counts them."""
    return len(json.dumps(kept, ensure_ascii=False).encode())


@pytest.mark.parametrize("channels", [1, 64, 300])
def test_every_channel_has_its_verdicts(channels: int) -> None:
    kept = analytics([CHANNEL] * channels)
    assert kept["omitted"] == 0
    assert size(kept) < 64 * 1024
    for entry in kept["channels"]:
        assert entry["verdicts"] == [verdict.as_json() for verdict in WORST]
    assert [entry.get("clipped", True) for entry in kept["channels"]] == [True] * channels


def test_verdicts_come_before_levels_and_levels_before_envelopes() -> None:
    kept = analytics([replace(CHANNEL, name=f"CH{number}", unit="V") for number in range(150)])
    with_levels = [("rms" in entry) for entry in kept["channels"]]
    with_envelope = [("envelope" in entry) for entry in kept["channels"]]
    assert all(with_levels)
    assert 0 < sum(with_envelope) < 150
    assert with_envelope == sorted(with_envelope, reverse=True)
    assert size(kept) > MAX_BYTES - 1000


def test_what_has_no_room_at_all_is_counted() -> None:
    kept = analytics([CHANNEL] * 2000)
    assert kept["omitted"] == 2000 - len(kept["channels"]) > 0
    assert size(kept) < 64 * 1024


def test_a_sentence_stands_beside_each_code() -> None:
    (said,) = with_sentences(analytics([CHANNEL]))["channels"]
    assert [list(verdict)[:2] for verdict in said["verdicts"]] == [["code", "sentence"]] * 4
    assert said["verdicts"][0]["count"] == 1234
    assert said["verdicts"][2]["sentence"].startswith("41 % of the signal is mains hum")


def test_what_cannot_be_judged_is_named() -> None:
    (entry,) = analytics([replace(CHANNEL, not_judged=("mains", "motion"))])["channels"]
    assert entry["not_judged"] == ["mains", "motion"]
    (entry,) = analytics([CHANNEL])["channels"]
    assert "not_judged" not in entry
