"""Tables and sparklines for rows of the database and for channels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.extraction.errors import C3DError
from worker.extraction.statistics import ChannelStatistics
from worker.extraction.verdicts import sentence
from worker.reports.inspection import Inspected

NO_VALUE = "—"  # the file does not say
UNITS = {
    "original_sampling_rate": "Hz",
    "original_duration_seconds": "s",
    "sampling_rate": "Hz",
    "duration_seconds": "s",
}
MIN_WIDTH = 28  # characters for values, so that successive tables line up
BARS = "▁▂▃▄▅▆▇█"
ACTIVITY = "activity over time"
MAX_SPARKLINE = 24  # characters
NAME_WIDTH = 16  # characters for a channel's name
NUMBERS_WIDTH = NAME_WIDTH + 3 * len("  -1.23e-05") + len("  unit  ")  # of all but the activity


def facts(title: str, values: Mapping[str, Any]) -> Table:
    """Return a table of one row of the database, with a line for each column."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold", min_width=MIN_WIDTH)
    for name, value in values.items():
        unit = UNITS.get(name) if value is not None else None
        table.add_row(name, Text(_readable(value) + (f" {unit}" if unit else "")))
    return table


def recording(inspected: Inspected) -> Table:
    """Return a table of what was read from a file, or why it was refused."""
    title, found = f"\n{inspected.path.name}", inspected.found
    if isinstance(found, C3DError):
        return facts(title, {"refused": found.code, "reason": str(found)})
    game = {"game_metadata": found.game} if found.game else {}
    return facts(title, {**found.row(), **game})


def show_channels(statistics: Iterable[ChannelStatistics], console: Console) -> None:
    """Print a line for each analog channel, and below what is wrong, each on lines of its own.

    The lines make a dead electrode obvious.
    """
    statistics = list(statistics)
    table = Table(box=None, pad_edge=False)
    table.add_column("channel", style="cyan", overflow="fold", min_width=NAME_WIDTH)
    for heading in ("min", "max", "RMS"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("unit", overflow="fold")
    bars = min(MAX_SPARKLINE, console.width - NUMBERS_WIDTH)
    if bars >= len(ACTIVITY):
        table.add_column(ACTIVITY, no_wrap=True)
    for each in statistics:
        values = (_short(value) for value in (each.minimum, each.maximum, each.rms))
        name, unit = Text(each.name or NO_VALUE), Text(each.unit)
        cells: tuple[Text | str, ...] = (name, *values, unit, sparkline(each.envelope, bars))
        table.add_row(*cells[: len(table.columns)])
    console.print(table)
    for each in statistics:
        for said in _faults(each):
            line = Text(f"{each.name or NO_VALUE}: ", style="cyan")
            console.print(line.append(said, style="red"), highlight=False)
    console.print(_verdict(statistics), style="dim", highlight=False)


def sparkline(levels: Sequence[float], width: int = MAX_SPARKLINE) -> str:
    """Draw `levels` (0 or more) in at most `width` characters; the highest is a full bar."""
    highest = max(levels, default=0.0)
    count = min(width, len(levels))
    if not highest:
        return BARS[0] * count
    edges = (index * len(levels) // count for index in range(count + 1))
    stretches = (levels[first:last] for first, last in pairwise(edges))
    shares = (sum(stretch) / len(stretch) / highest for stretch in stretches)
    return "".join(BARS[min(int(share * len(BARS)), len(BARS) - 1)] for share in shares)


def _faults(channel: ChannelStatistics) -> Iterator[str]:
    for verdict in channel.verdicts:
        yield sentence(verdict.as_json())
    if channel.not_finite:
        yield f"{channel.not_finite:,} samples are not finite numbers."


def _verdict(statistics: Sequence[ChannelStatistics]) -> str:
    """Sum up where nothing is wrong, or could not be judged."""
    unjudged = sum(bool(each.not_judged) for each in statistics)
    faults = sum(any(True for _ in _faults(each)) for each in statistics)
    said = [] if faults else ["signal: nothing wrong was found"]
    if unjudged:
        said.append(f"mains hum and motion cannot be judged in {unjudged:,} channels")
    return "; ".join(said)


def _short(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.3g}"


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
