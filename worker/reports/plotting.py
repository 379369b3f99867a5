"""A picture of a recording on this machine, as a file of the wanted kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from worker.drawing.canvas import Canvas
from worker.drawing.picture import draw
from worker.drawing.raster import Raster
from worker.drawing.vector import Vector
from worker.extraction.envelope import Envelope
from worker.extraction.statistics import read_signals

KINDS: Mapping[str, Callable[[int, int], Canvas]] = {".png": Raster, ".svg": Vector}


def plotted_file(path: Path, ending: str) -> bytes:
    """Draw the C3D file at `path`; `ending` is one of KINDS.

    Raises:
        C3DError: the file is refused.
        OSError: the file cannot be read.
    """
    return plotted(read_signals(path).envelope, "Recording", ending)


def plotted(envelope: Envelope | None, title: str, ending: str) -> bytes:
    """Draw what was read of a recording; the title names no person, as a file's name could."""
    return draw(envelope, title, KINDS[ending])
