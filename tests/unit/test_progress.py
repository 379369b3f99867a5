"""A bar stays on its line, whatever the file is called, and is on a screen only."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.progress import Progress

from worker.commands.terminal import counting, sending

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


@pytest.mark.parametrize("bar_of", [counting, sending])
def test_a_pipe_gets_the_lines_alone(bar_of: Callable[[Console], Progress]) -> None:
    console = Console(file=io.StringIO())
    with bar_of(console) as bar:
        bar.advance(bar.add_task("objects", total=1))
        bar.console.print("a line")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "a line\n"
