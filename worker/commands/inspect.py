"""`c3d-worker inspect`: what the worker would write for files, as tables or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from worker.commands.display import recording, show_channels
from worker.extraction.errors import C3DError
from worker.reports.inspection import inspect_file


def inspect_files(
    files: Sequence[Path], console: Console, *, as_json: bool, statistics: bool
) -> bool:
    """Print the values of each file, and return whether no file was refused.

    Raises:
        OSError: a file cannot be read.
    """
    inspected = [inspect_file(path, statistics=statistics) for path in files]
    for each in inspected:
        if as_json:
            console.out(json.dumps(each.as_json(), ensure_ascii=False), highlight=False)
            continue
        console.print(recording(each))
        if each.statistics:
            show_channels(each.statistics, console)
    return not any(isinstance(each.found, C3DError) for each in inspected)
