"""The results as people read them: a table in the terminal, and docs/benchmarks.md.

    python -m benchmarks.report [FOLDER]

Writes docs/benchmarks.md and its plots from the results in FOLDER (default: benchmarks).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.plots import svg

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
RESULTS, CIRCUMSTANCES = "results.json", "circumstances.json"
HEADINGS = ("measurement", "ours", "other", "ratio", "unit", "target", "", "other is")
VERDICTS = {True: "met", False: "missed", None: ""}
PAGE = """# Benchmarks

Written by `make bench`; no number here was typed by hand. Each measurement stands beside its
rival, both taken in the same run, in turn. Values are medians; the local stack, the workers and
the rivals share one machine, so ratios say more than values.

{quick}- Date: {date}
- Machine: {machine[processor]}, {machine[cores]} cores, {machine[memory_gb]} GB, \
{machine[system]}, Python {machine[python]}
- Noise: {noise[yardstick]}, timed again and again over the run: median {noise[median]}, \
least {noise[least]}, most {noise[most]}; load between benchmarks {least_load} to {most_load}

{table}

{skipped}{raw}## How it grows

{plots}
"""
QUICK = (
    "> **A quick run with tiny sizes, for whoever works on the benchmarks. "
    "Its values mean little.**\n\n"
)
RAW = (
    "Ranges, notes and series: [results.json](../benchmarks/results.json), "
    "[circumstances.json](../benchmarks/circumstances.json).\n\n"
)


def table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return the rows as the terminal shows them."""
    shown = Table(title="Medians, local stack", title_justify="left")
    for heading in HEADINGS:
        shown.add_column(heading)
    for row in rows:
        shown.add_row(*_cells(row))
    return shown


def write_page(folder: Path) -> Path:
    """Write the page and its plots, and return where."""
    rows = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    found = json.loads((folder / CIRCUMSTANCES).read_text(encoding="utf-8"))
    DOCS.mkdir(exist_ok=True)
    plots = []
    for name, series in found["series"].items():
        image = f"benchmark-{name}.svg"
        (DOCS / image).write_text(svg(series), encoding="utf-8")
        plots.append(f"![{series['title']}]({image})")
    load = found["noise"]["load"]
    page = DOCS / "benchmarks.md"
    page.write_text(
        PAGE.format(
            quick=QUICK if found["quick"] else "",
            raw="" if found["quick"] else RAW,
            date=found["date"],
            machine=found["machine"],
            noise=found["noise"],
            least_load=min(load),
            most_load=max(load),
            table="\n".join(map(_line, [HEADINGS, ["---"] * len(HEADINGS), *map(_cells, rows)])),
            skipped="".join(f"{sentence}\n\n" for sentence in found["skipped"]),
            plots="\n\n".join(plots),
        ),
        encoding="utf-8",
    )
    return page


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        f"{row['ours']:,.4g}",
        f"{row['other']:,.4g}",
        "" if row["ratio"] is None else f"{row['ratio']:.3g}",
        row["unit"],
        row["target"] or "",
        VERDICTS[row["met"]],
        row["other_is"],
    )


if __name__ == "__main__":
    print(write_page(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE))
