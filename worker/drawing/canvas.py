"""What a picture is drawn on, in pixels from the upper left corner; and its colours."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, Protocol

from worker.extraction.samples import Values

Anchor = Literal["start", "end"]


class Colour(StrEnum):
    """What a colour stands for."""

    PAPER = "paper"
    ROW = "row"
    GRID = "grid"
    INK = "ink"
    SOFT = "soft"  # text of second rank
    ALERT = "alert"  # text that says what is wrong
    SIGNAL = "signal"
    DROPOUT = "dropout"
    CLIPPED = "clipped"


# Okabe and Ito's colours, which colour-blind people tell apart; texts have a contrast of 4.5 at
# least to the paper and to a row (WCAG 2.1, 1.4.3).
LIGHT: Mapping[Colour, str] = {
    Colour.PAPER: "#ffffff",
    Colour.ROW: "#f3f5f7",
    Colour.GRID: "#ccd3da",
    Colour.INK: "#1b1f24",
    Colour.SOFT: "#57606a",
    Colour.ALERT: "#a63c00",
    Colour.SIGNAL: "#0072b2",
    Colour.DROPOUT: "#f0b27a",
    Colour.CLIPPED: "#cc79a7",
}
DARK: Mapping[Colour, str] = {
    Colour.PAPER: "#12161b",
    Colour.ROW: "#1c2229",
    Colour.GRID: "#3d4650",
    Colour.INK: "#e6eaee",
    Colour.SOFT: "#a9b2bc",
    Colour.ALERT: "#f5a45d",
    Colour.SIGNAL: "#56b4e9",
    Colour.DROPOUT: "#8a5212",
    Colour.CLIPPED: "#cc79a7",
}


class Canvas(Protocol):
    """A picture under work."""

    def rectangle(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Fill a rectangle."""

    def text(
        self, x: float, y: float, text: str, *, size: int, colour: Colour, anchor: Anchor = "start"
    ) -> None:
        """Write one line of any text, its middle at the height `y`."""

    def width(self, text: str, size: int) -> float:
        """Return how wide a text is, or about."""

    def band(self, x: int, tops: Values, bottoms: Values) -> None:
        """Draw a signal: one column of a pixel for each pair, from `x` on; NaN is a gap."""

    def encoded(self) -> bytes:
        """Return the picture as a file holds it."""
