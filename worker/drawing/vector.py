"""A canvas that becomes an SVG: dark where its reader's system is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from unicodedata import east_asian_width
from xml.sax.saxutils import escape

import numpy as np

from worker.drawing.canvas import DARK, LIGHT, Anchor, Colour
from worker.extraction.samples import Values

FONT = "system-ui, 'DejaVu Sans', sans-serif"
WIDTH, WIDE = 0.6, 1.0  # of a character, in font sizes, on the safe side


class Vector:
    """Elements, without a library: what a picture needs of SVG is little."""

    def __init__(self, width: int, height: int) -> None:
        """Begin with an empty paper of this size in pixels."""
        self._size = width, height
        self._elements: list[str] = []
        self.rectangle(0, 0, width, height, Colour.PAPER)

    def rectangle(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Fill a rectangle."""
        self._elements.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" {_fill(colour)}/>'
        )

    def text(
        self, x: float, y: float, text: str, *, size: int, colour: Colour, anchor: Anchor = "start"
    ) -> None:
        """Write one line of any text, its middle at the height `y`."""
        self._elements.append(
            f'<text x="{x:g}" y="{y + 0.35 * size:g}" font-size="{size}" {_fill(colour)}'
            f' text-anchor="{anchor}">{escape(text)}</text>'
        )

    def width(self, text: str, size: int) -> float:
        """Return about how wide a text is: its reader's font is unknown."""
        return size * sum(WIDE if east_asian_width(each) in "WF" else WIDTH for each in text)

    def band(self, x: int, tops: Values, bottoms: Values) -> None:
        """Draw a signal: one column of a pixel for each pair, from `x` on; NaN is a gap."""
        outline = "".join(_stretches(x, tops, bottoms))
        self._elements.append(f'<path d="{outline}" {_fill(Colour.SIGNAL)}/>')

    def encoded(self) -> bytes:
        """Return the picture as a file holds it."""
        width, height = self._size
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="{FONT}">\n<style>\n'
            f"{_style(LIGHT)}\n@media (prefers-color-scheme: dark) {{ {_style(DARK)} }}\n</style>\n"
            + "\n".join(self._elements)
            + "\n</svg>\n"
        ).encode()


def _fill(colour: Colour) -> str:
    """Return both attributes of a colour: some programs know no style sheet."""
    return f'class="{colour}" fill="{LIGHT[colour]}"'


def _style(colours: Mapping[Colour, str]) -> str:
    return " ".join(f".{name} {{ fill: {value} }}" for name, value in colours.items())


def _stretches(x: int, tops: Values, bottoms: Values) -> Iterator[str]:
    """Yield the outline of each stretch without a gap."""
    there = np.flatnonzero(~np.isnan(tops))
    for stretch in np.split(there, np.flatnonzero(np.diff(there) > 1) + 1):
        if not len(stretch):
            return
        # Along the tops, one step for each column, and back along the bottoms.
        across = np.repeat(np.append(stretch, stretch[-1] + 1) + x, 2)[1:-1]
        there_and_back = np.concatenate((across, across[::-1]))
        edges = np.concatenate((np.repeat(tops[stretch], 2), np.repeat(bottoms[stretch], 2)[::-1]))
        points = zip(there_and_back.tolist(), np.round(edges).tolist(), strict=True)
        yield "M" + " ".join(f"{each:g},{height:g}" for each, height in points) + "Z"
