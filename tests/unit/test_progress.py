"""The bar of an upload stays on its line, whatever the file is called."""

from __future__ import annotations

import io

from rich.console import Console

from worker.commands.terminal import sending

NAME = "[red]a-recording-with-a-name-that-is-longer-than-many-screens-are-wide.c3d"


def test_a_long_name_neither_wraps_the_bar_nor_is_taken_for_markup() -> None:
    console = Console(width=60, force_terminal=True, color_system=None, file=io.StringIO())
    with sending(console) as bar:
        bar.add_task(NAME, total=2_000_000)
    assert isinstance(console.file, io.StringIO)
    last = console.file.getvalue().rpartition("\x1b[2K")[2].splitlines()[0]
    assert last.startswith("[red]a-recording")
    assert len(last) <= 60
    assert "MB" in last
