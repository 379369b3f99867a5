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
PLAIN = str.maketrans({"✓": "+", "✗": "x", LEFT_OUT: "-"})  # where the output lacks them


async def check_installation(settings: Settings, console: Console, *, as_json: bool) -> bool:
    """Check the installation, print every finding, and return whether nothing failed."""
    if as_json:
        found = await check(settings)
        lines = {"ok": well(found), "checks": [finding.as_json() for finding in found]}
        console.out(json.dumps(lines, ensure_ascii=False, indent=2), highlight=False)
    else:
        with console.status("looking"):
            found = await check(settings)
        console.print(_table(found, console.encoding))
    return well(found)


def _table(found: Sequence[Finding], encoding: str) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    for finding in found:
        text = Text(finding.said)
        if finding.cure:
            text.append(f" {finding.cure}", "italic")
        table.add_row(_mark(finding.verdict, encoding), finding.check, text)
    return table


def _mark(verdict: Verdict, encoding: str) -> Text:
    """Return the mark of a verdict, in characters that the output has."""
    mark = MARKS[verdict]
    try:
        mark.plain.encode(encoding)
    except UnicodeEncodeError:
        return Text(mark.plain.translate(PLAIN), mark.style)
    return mark
