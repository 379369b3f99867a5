"""What every scenario measured: a table for people and `build/faults.json` for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.conftest import PROJECT

FULL_ROWS = PROJECT / "build" / "faults.json"
SHORT_ROWS = PROJECT / "build" / "faults-short.json"  # so that a quick run hides no full one


@dataclass(frozen=True, slots=True)
class Row:
    """One fault, measured."""

    fault: str
    sessions: int
    lost: int
    twice: int
    recovery_s: float | None  # None: nothing had to recover
    rate_ratio: float | None  # None: too few sessions to tell


def write(row: Row, path: Path) -> None:
    """Put a row into the file, in the place of the last one of that fault."""
    path.parent.mkdir(exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else []
    others = [each for each in known if each["fault"] != row.fault]
    path.write_text(json.dumps([*others, asdict(row)], indent=1) + "\n")


def table(rows: Sequence[Row]) -> str:
    heading = f"{'fault':52} {'sessions':>8} {'lost':>5} {'twice':>5} {'recovery':>9} {'rate':>6}"
    lines = [
        f"{row.fault:52} {row.sessions:8} {row.lost:5} {row.twice:5} "
        f"{_shown(row.recovery_s, ' s'):>9} {_shown(row.rate_ratio, ''):>6}"
        for row in rows
    ]
    return "\n".join([heading, "-" * len(heading), *lines])


def _shown(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.2f}{unit}"
