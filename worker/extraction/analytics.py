"""Channel statistics as the JSON object in the analytics cache, of bounded size."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from worker.extraction.statistics import ChannelStatistics

STATISTICS_VERSION = 2  # increased whenever the same file would get other values
MAX_BYTES = 63 * 1024  # of the list of channels
MAX_NAME = 60  # characters of a name or a unit


def analytics(statistics: Iterable[ChannelStatistics]) -> dict[str, Any]:
    """Return `version`, `channels` (one object each) and `omitted`.

    `omitted` is the number of channels left out to stay below 64 KB. Numbers keep six significant
    digits, the envelope three; names and units are cut at 60 characters.
    """
    channels: list[dict[str, Any]] = []
    omitted, length = 0, 0
    for channel in statistics:
        entry = _entry(channel)
        length += _jsonb_length(entry)
        if length <= MAX_BYTES:
            channels.append(entry)
        else:
            omitted += 1
    return {"version": STATISTICS_VERSION, "channels": channels, "omitted": omitted}


def _entry(channel: ChannelStatistics) -> dict[str, Any]:
    return {
        "name": channel.name[:MAX_NAME],
        "unit": channel.unit[:MAX_NAME],
        "samples": channel.samples,
        "min": _rounded(channel.minimum),
        "max": _rounded(channel.maximum),
        "mean": _rounded(channel.mean),
        "rms": _rounded(channel.rms),
        "mav": _rounded(channel.mean_absolute),
        "at_rails": _rounded(channel.at_rails),
        "not_finite": channel.not_finite,
        "flat": channel.flat,
        "clipped": channel.clipped,
        "envelope": [_rounded(level, digits=3) for level in channel.envelope],
    }


def _jsonb_length(entry: dict[str, Any]) -> int:
    """Return the bytes of the entry as PostgreSQL prints a jsonb: 1e-38 with all its zeros."""
    plain = json.dumps(entry, ensure_ascii=False)
    numbers = [*entry["envelope"], *(each for each in entry.values() if isinstance(each, float))]
    zeros = sum(len(format(Decimal(repr(each)), "f")) - len(repr(each)) for each in numbers if each)
    return len(plain.encode()) + max(zeros, 0) + 2


def _rounded(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")
