"""Channel statistics as the JSON object in the analytics cache, of bounded size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from worker.extraction.statistics import ChannelStatistics
from worker.extraction.verdicts import sentence

STATISTICS_VERSION = 3  # increased whenever the same file would get other values
MAX_BYTES = 63 * 1024  # of the list of channels
MAX_NAME = 60  # characters of a name or a unit


def analytics(statistics: Iterable[ChannelStatistics]) -> dict[str, Any]:
    """Return `version`, `channels` (one object each) and `omitted`.

    Below 64 KB, every channel has its verdicts. As many as have room have their names as well, then
    their levels, then their envelopes. `omitted` is the number of channels for which not even the
    verdicts have room. Numbers keep six significant digits, verdicts and envelopes three; names and
    units are cut at 60 characters.
    """
    measured = list(statistics)
    channels = [_whole(channel) for channel in measured]
    if sum(map(_jsonb_length, channels)) > MAX_BYTES:
        channels = _shortened(measured)
    return {
        "version": STATISTICS_VERSION,
        "channels": channels,
        "omitted": len(measured) - len(channels),
    }


def with_sentences(statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `analytics` returned, and each verdict's sentence beside its code."""
    channels = [
        {
            **channel,
            "verdicts": [
                {"code": each["code"], "sentence": sentence(each), **each}
                for each in channel["verdicts"]
            ],
        }
        for channel in statistics["channels"]
    ]
    return {**statistics, "channels": channels}


def _shortened(measured: Sequence[ChannelStatistics]) -> list[dict[str, Any]]:
    """Return of each channel what has room."""
    channels: list[dict[str, Any]] = [{} for _ in measured]
    lengths = [0] * len(measured)
    room = MAX_BYTES
    for entry_of in (_judged, _named, _levelled, _whole):
        for index, channel in enumerate(measured):
            entry = entry_of(channel)
            length = _jsonb_length(entry)
            if length - lengths[index] <= room:
                room -= length - lengths[index]
                channels[index], lengths[index] = entry, length
    return [entry for entry in channels if entry]


def _judged(channel: ChannelStatistics) -> dict[str, Any]:
    """Return what every channel has."""
    said: dict[str, Any] = {"verdicts": [verdict.as_json() for verdict in channel.verdicts]}
    if channel.not_judged:
        said["not_judged"] = list(channel.not_judged)
    if channel.not_finite:
        said["not_finite"] = channel.not_finite
    return said


def _named(channel: ChannelStatistics) -> dict[str, Any]:
    said = {"name": channel.name[:MAX_NAME], "flat": channel.flat, "clipped": channel.clipped}
    return said | _judged(channel)


def _levelled(channel: ChannelStatistics) -> dict[str, Any]:
    return _named(channel) | {
        "unit": channel.unit[:MAX_NAME],
        "samples": channel.samples,
        "min": _rounded(channel.minimum),
        "max": _rounded(channel.maximum),
        "mean": _rounded(channel.mean),
        "rms": _rounded(channel.rms),
        "mav": _rounded(channel.mean_absolute),
        "at_rails": _rounded(channel.at_rails),
        "not_finite": channel.not_finite,
    }


def _whole(channel: ChannelStatistics) -> dict[str, Any]:
    envelope = [_rounded(level, digits=3) for level in channel.envelope]
    return _levelled(channel) | {"envelope": envelope}


def _jsonb_length(entry: dict[str, Any]) -> int:
    """Return the bytes of the entry as PostgreSQL prints a jsonb: 1e-38 with all its zeros."""
    plain = json.dumps(entry, ensure_ascii=False)
    powers = [text for each in _reals(entry) if "e" in (text := repr(each))]
    zeros = sum(len(format(Decimal(text), "f")) - len(text) for text in powers)
    return len(plain.encode()) + max(zeros, 0) + 2


def _reals(entry: Mapping[str, Any]) -> Iterator[float]:
    for value in entry.values():
        if isinstance(value, float):
            yield value
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, float):
                    yield each
                elif isinstance(each, dict):
                    yield from _reals(each)


def _rounded(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")
