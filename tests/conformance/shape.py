"""A shape of file that a public report describes, and what is right for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tests.conformance.building import padded
from worker.local.recordings import Groups, Value, recording

Row: TypeAlias = dict[str, Any]

SAMPLES = np.ones((1000, 4))
NAMES = ("EMG 1", "EMG 2", "EMG 3", "EMG 4")
RATE, FRAME_RATE, PER_FRAME = 1000.0, 100.0, 10


@dataclass(frozen=True, slots=True)
class Shape:
    """One line of the table."""

    name: str
    report: str  # `owner/repository#number` on GitHub, or a page of the manual on c3d.org
    build: Callable[[], bytes]
    row: Row | None  # None: the file has no trustworthy row
    may_refuse: bool = False  # a refusal is right, too

    @property
    def link(self) -> str:
        """The report as a link."""
        repository, _, number = self.report.partition("#")
        if number:
            return f"[{self.report}](https://github.com/{repository}/issues/{number})"
        page = self.report.rpartition("/")[2]
        return f"[c3d.org, {page}](https://www.c3d.org/HTML/{self.report}.htm)"


def row(**different: Any) -> Row:
    """What is right for the usual file; other numbers where `different`."""
    usual: Row = {
        "channels": 4,
        "names": list(NAMES),
        "samples": 1000,
        "rate": RATE,
        "frames": 100,
        "frame_rate": FRAME_RATE,
    }
    return usual | different


def without_analog(**different: Any) -> Row:
    """What is right for a file without analog channels."""
    return row(channels=0, names=[], samples=None, rate=None, **different)


def usual(samples: Any = SAMPLES, /, *, groups: Groups | None = None, **more: Any) -> bytes:
    """The usual file: four channels at 1,000 Hz in 100 frames, and three markers.

    It has what the readers ask for: names, units and descriptions.
    """
    markers = more.pop("points", 3)
    channels = 0 if samples is None else samples.shape[1]
    complete: dict[str, dict[str, Value]] = {
        "POINT": {
            "LABELS": [f"M{number}" for number in range(markers)] or "",
            "DESCRIPTIONS": [" "] * markers or "",
            "UNITS": "mm",
        },
        "ANALOG": {"UNITS": ["V"] * min(channels, 255), "DESCRIPTIONS": [" "] * min(channels, 255)},
    }
    for group, values in (groups or {}).items():
        complete.setdefault(group, {}).update(values)
    arguments: dict[str, Any] = {
        "samples_per_frame": PER_FRAME,
        "frame_rate": FRAME_RATE,
        "points": markers,
        "labels": NAMES if channels == len(NAMES) else None,
    }
    return padded(recording(samples, groups=complete, **arguments | more))
