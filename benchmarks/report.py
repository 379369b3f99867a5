"""The results as people read them: a table in the terminal, and docs/benchmarks.md.

    python -m benchmarks.report [FOLDER]

Writes docs/benchmarks.md and its plots from the results in FOLDER (default: benchmarks).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

VERDICTS = {True: "met", False: "missed", None: ""}


def table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return the rows as the terminal shows them."""
    shown = Table(title="Medians, local stack", title_justify="left")
    for heading in ("measurement", "ours", "other", "ratio", "unit", "target", "", "other is"):
        shown.add_column(heading)
    for row in rows:
        shown.add_row(*_cells(row), row["other_is"])
    return shown


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    values = (f"{row[name]:,.4g}" for name in ("ours", "other"))
    return (
        row["name"],
        *values,
        f"{row['ratio']:.3g}",
        row["unit"],
        row["target"] or "",
        VERDICTS[row["met"]],
    )
