"""Renders the pictures of the README: the overview, and one session.

Run it with `.venv/bin/python docs/render_pictures.py`. The overview is that of a local
stack whose sessions a real worker made; the session is a generated recording, as `plot` draws it.
"""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import HORIZONTALS
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from docs.run_snippets import DOCS, populated
from worker.local.recordings import ghostly_recording

OVERVIEW, SESSION = DOCS / "overview.svg", DOCS / "session.png"
SHOWN = """select state, patient, file, what_to_do, duration, signal
           from session_overview where patient in ('P005', 'P006')"""
WIDTH = 119  # characters
WIDTHS = {"what_to_do": 34, "signal": 16}  # of the columns that wrap
STYLES = {"failed": "red", "completed": "green"}  # by state
LIGHT = TerminalTheme(
    (255, 255, 255),
    (36, 41, 47),
    [(36, 41, 47), (176, 32, 32), (22, 108, 56), *[(36, 41, 47)] * 5],
)
# Rich's own asks for a font from the network, and draws a window around the text.
DRAWING = """<svg class="rich-terminal" viewBox="0 0 {terminal_width} {terminal_height}" \
xmlns="http://www.w3.org/2000/svg"><style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", \
monospace; }}
{styles}
</style><defs>{lines}</defs>
<rect width="100%" height="100%" fill="#ffffff"/>
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></svg>
"""


async def overview() -> str:
    """Return the first columns of the overview as SVG."""
    async with populated() as database:
        return drawn(await database.fetch(SHOWN))


def drawn(rows: Sequence[Any]) -> str:
    """Draw rows of the overview as a table."""
    table = Table(
        title="session_overview", title_justify="left", title_style="bold", box=HORIZONTALS
    )
    for name in rows[0].keys():  # noqa: SIM118 - a record iterates over its values
        table.add_column(name, width=WIDTHS.get(name), no_wrap=name not in WIDTHS)
    for row in rows:
        style = STYLES.get(row["state"], "")
        state, *others = ("" if value is None else f"{value}" for value in row.values())
        table.add_row(Text(state, style), *map(Text, others), end_section=True)
    console = Console(width=WIDTH, record=True, file=io.StringIO())
    console.print(Padding(table, (1, 2)))
    return console.export_svg(theme=LIGHT, code_format=DRAWING, unique_id="overview")


def session() -> None:
    """Draw a recording whose radio link was lost twice."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.c3d"
        path.write_bytes(ghostly_recording(lossy=True))
        command = [sys.executable, "-m", "worker", "plot", str(path), "--out", str(SESSION)]
        subprocess.run(command, check=True)  # noqa: S603 - the project's own command


if __name__ == "__main__":
    OVERVIEW.write_text(asyncio.run(overview()), encoding="utf-8")
    session()
