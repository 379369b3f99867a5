"""What a recording says about the game in which it was made."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import datetime
from typing import Any

from worker.extraction.reader import Metadata, shortest
from worker.extraction.wanted import GAME

PLACEHOLDERS = frozenset({"", "---", "n/a", "default"})


def game_metadata(metadata: Metadata) -> dict[str, Any]:
    """Return the parameters listed in `wanted.GAME`, JSON-ready, by name in lower case.

    TIME, which the game writes as year, month, day, hour and minute, becomes an ISO 8601 local
    time. Placeholders, which the game writes in place of unknown values, are left out.
    """
    values: dict[str, str | int | float | None] = {}
    for group, name in ((group, name) for group, names in GAME.items() for name in names):
        with suppress(Exception):  # whatever is wrong with what the game says, it costs its own key
            read = _moment if name == "TIME" else _value
            values[name.lower()] = read(metadata, f"{group}:{name}")
    return {name: value for name, value in values.items() if value is not None}


def _value(metadata: Metadata, name: str) -> str | int | float | None:
    if metadata.is_text(name):
        text = " ".join(filter(None, metadata.texts(name)))
        return None if text.casefold() in PLACEHOLDERS else text
    if metadata.is_real(name):
        number = metadata.real(name)
        return shortest(number) if number is not None and math.isfinite(number) else None
    return next(iter(metadata.integers(name, signed=True)), None)


def _moment(metadata: Metadata, name: str) -> str:
    year, month, day, hour, minute = (int(text) for text in metadata.texts(name))
    return datetime(year, month, day, hour, minute).isoformat(timespec="minutes")  # noqa: DTZ001 - the game writes local time and no zone
