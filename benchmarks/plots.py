"""Line plots as SVG, drawn by hand: a few axes and lines need no library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 70, 50
COLOURS = ("#0072b2", "#d55e00", "#009e73")  # told apart by colour-blind people, too
DECADE = 10


class Axis:
    """Where a value lies between two ends, in pixels."""

    def __init__(self, values: Sequence[float], begin: float, end: float, *, log: bool) -> None:
        """Span the values between two pixels."""
        self._begin, self._end, self._log = begin, end, log
        least, most = min(values), max(values)
        if log:
            self.ticks = _decades(least, most)
        else:
            step = _step(most)
            self.ticks = [step * number for number in range(math.ceil(most / step) + 1)]
        self._low, self._high = self._scaled(self.ticks[0]), self._scaled(self.ticks[-1])

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        part = (self._scaled(value) - self._low) / (self._high - self._low)
        return round(self._begin + part * (self._end - self._begin), 1)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self._log else value


def svg(series: Mapping[str, Any]) -> str:
    """Draw a series of the results."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12" fill="#333">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
        + "\n".join(_elements(series))
        + "\n</svg>\n"
    )


def _elements(series: Mapping[str, Any]) -> Iterator[str]:
    log, lines = series["logarithmic"], series["lines"]
    x = Axis(series["x"], LEFT, WIDTH - RIGHT, log=log)
    values = [value for line in lines.values() for value in line]
    y = Axis(values, HEIGHT - BOTTOM, TOP, log=log and min(values) > 0)
    yield _text(LEFT, 22, series["title"], "start", 'font-size="15" font-weight="bold"')
    for tick in y.ticks:
        yield (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y.at(tick)}" y2="{y.at(tick)}" '
            'stroke="#ddd"/>'
        )
        yield _text(LEFT - 8, y.at(tick) + 4, f"{tick:,g}", "end")
    for tick in x.ticks if log else series["x"]:
        yield _text(x.at(tick), HEIGHT - BOTTOM + 18, f"{tick:,.10g}", "middle")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, series["x_is"], "middle")
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [(x.at(a), y.at(b)) for a, b in zip(series["x"], line, strict=True)]
        path = " ".join(f"{a},{b}" for a, b in points)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for a, b in points:
            yield f'<circle cx="{a}" cy="{b}" r="3.5" fill="{colour}"/>'
        yield _text(LEFT + number * 190, 46, f"● {name}", "start", f'style="fill:{colour}"')


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" {more}>{escape(text)}</text>'


def _decades(least: float, most: float) -> list[float]:
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    return [float(DECADE) ** power for power in range(low, max(high, low + 1) + 1)]


def _step(most: float) -> float:
    """A round number, four to ten of which reach the most."""
    power = float(DECADE) ** math.floor(math.log10(most)) if most > 0 else 1.0
    return power / 2 if most / power > 2 else power / 5  # noqa: PLR2004 - two or more decimals
