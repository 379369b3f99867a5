"""`c3d-worker check`: every finding on the terminal, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.check.findings import Finding, Verdict, well
from worker.check.order import check
from worker.settings import Settings

LEFT_OUT = "–"  # noqa: RUF001 - a dash
MARKS = {
    Verdict.GOOD: Text("✓", "green"),
    Verdict.WARNING: Text("!", "bold yellow"),
    Verdict.BAD: Text("✗", "bold red"),
    Verdict.NOTE: Text(LEFT_OUT, "dim"),
    Verdict.UNCHECKED: Text(LEFT_OUT, "dim"),
}


async def check_installation(settings: Settings, console: Console, *, as_json: bool) -> bool:
    """Check the installation, print every finding, and return whether nothing failed."""
    if as_json:
        found = await check(settings)
        lines = {"ok": well(found), "checks": [finding.as_json() for finding in found]}
        console.out(json.dumps(lines, ensure_ascii=False, indent=2), highlight=False)
    else:
        with console.status("looking"):
            found = await check(settings)
        console.print(_table(found))
    return well(found)


def _table(found: Sequence[Finding]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    for finding in found:
        text = Text(finding.said)
        if finding.cure:
            text.append(f" {finding.cure}", "italic")
        table.add_row(MARKS[finding.verdict], finding.check, text)
    return table
