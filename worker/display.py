"""How rows look in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from worker.errors import C3DError
from worker.inspection import Inspected

NO_VALUE = "—"  # the file does not say
UNITS = {
    "original_sampling_rate": "Hz",
    "original_duration_seconds": "s",
    "sampling_rate": "Hz",
    "duration_seconds": "s",
}
WIDTH = 40  # characters for values, so that tables below each other line up


def facts(title: str, values: Mapping[str, Any]) -> Table:
    """One row of the database, a line for each column."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold", min_width=WIDTH)
    for name, value in values.items():
        unit = UNITS.get(name) if value is not None else None
        table.add_row(name, Text(_readable(value) + (f" {unit}" if unit else "")))
    return table


def recording(inspected: Inspected) -> Table:
    """What was read from a file, or why it was refused."""
    title, found = f"\n{inspected.path.name}", inspected.found
    if isinstance(found, C3DError):
        return facts(title, {"refused": found.code, "reason": str(found)})
    game = {"game": found.game} if found.game else {}
    return facts(title, {**found.row(), **game})


def _readable(value: Any) -> str:
    if value is None or value in ([], {}, ""):
        return NO_VALUE
    if isinstance(value, list):
        return ", ".join(str(item) or NO_VALUE for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_readable(item)}" for name, item in value.items())
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,g}"
    return str(value)
