"""The picture of a recording: a row for each channel over one time axis.

It names no patient: its title is the caller's. Names and units come from the file, so they may be
anything: what cannot be printed is left out, and what is too long is cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from worker.drawing.canvas import Canvas, Colour
from worker.drawing.scale import course, drawn_range, lossy_columns, ticks
from worker.extraction.envelope import MAX_COLUMNS, Envelope, Mark
from worker.extraction.samples import Values

# Pixels. Shown at half the size, a text of TEXT has ten, which is as small as one can read.
LEFT, PLOT, RIGHT = 440, MAX_COLUMNS, 40
WIDTH = LEFT + PLOT + RIGHT
MARGIN, LABEL, NUMBERS = 24, 300, 430  # where labels begin, how wide they are, where numbers end
HEADER, FOOTER, GAP, EMPTY = 104, 76, 10, 60
MIN_ROW, MAX_ROW, ALL_ROWS = 46, 220, 1400
TITLE, TEXT, LINE, INSET = 28, 20, 24, 12
EDGE = 6  # of a row, above and below a clipped stretch
LEGEND = {"dropout": "samples lost", "clipped": "clipped"}
THOUSAND, MILLION = 999.5, 1e6  # between them, a number is shorter without an exponent
WORD = re.compile(r"\S+(?: %)?")  # a number is not parted from its %
MAX_TEXT = 200  # characters that are looked at


def draw(envelope: Envelope | None, title: str, make: Callable[[int, int], Canvas]) -> bytes:
    """Draw a recording, and return the picture as a file holds it.

    Args:
        envelope: the recording; None where it has no samples.
        title: names it, and no person.
        make: makes the canvas, of a width and a height in pixels.
    """
    if envelope is None:
        canvas = make(WIDTH, HEADER + EMPTY)
        _head(canvas, title, "no analog samples", ())
        return canvas.encoded()
    shown = len(envelope.names)
    height = min(MAX_ROW, max(MIN_ROW, ALL_ROWS // shown))
    canvas = make(WIDTH, HEADER + shown * (height + GAP) + FOOTER)
    _head(canvas, title, _facts(envelope), envelope.marks)
    rows = range(HEADER, HEADER + shown * (height + GAP), height + GAP)
    for top in rows:
        canvas.rectangle(LEFT, top, PLOT, height, Colour.ROW)
    _time_axis(canvas, envelope, HEADER, shown * (height + GAP) - GAP)
    for index, top in enumerate(rows):
        _channel(canvas, envelope, index, top, height)
    return canvas.encoded()


def printable(text: str) -> str:
    """Return what can be printed of a text, on one line."""
    kept = (each if each.isprintable() else " " for each in text[:MAX_TEXT])
    return " ".join("".join(kept).split())


def _head(canvas: Canvas, title: str, facts: str, marks: Sequence[Mark]) -> None:
    canvas.text(
        MARGIN,
        36,
        _fitted(canvas, printable(title), TITLE, WIDTH - 2 * MARGIN),
        size=TITLE,
        colour=Colour.INK,
    )
    canvas.text(MARGIN, 74, facts, size=TEXT, colour=Colour.SOFT)
    x = WIDTH - RIGHT
    for code in sorted({mark.code for mark in marks} & LEGEND.keys()):
        canvas.text(x, 74, LEGEND[code], size=TEXT, colour=Colour.INK, anchor="end")
        x -= round(canvas.width(LEGEND[code], TEXT)) + 38
        canvas.rectangle(x, 62, 28, 24, Colour(code))
        x -= 24


def _facts(envelope: Envelope) -> str:
    shown, channels = len(envelope.names), envelope.channels
    facts = [f"{channels:,} channel{'s' if channels > 1 else ''}"]
    if shown < channels:
        facts[0] += f", the first {shown:,} drawn"
    if envelope.seconds and envelope.rate:
        facts.append(f"{envelope.seconds:,.4g} s at {envelope.rate:,.6g} Hz")
    facts.append(f"{envelope.samples:,} sample{'s' if envelope.samples > 1 else ''} each")
    return " · ".join(facts)


def _channel(canvas: Canvas, envelope: Envelope, index: int, top: int, height: int) -> None:
    columns, marks = envelope.columns, [each for each in envelope.marks if each.channel == index]
    cells = slice(index * columns, (index + 1) * columns)
    low, high = (_values(reals, cells) for reals in (envelope.low, envelope.high))
    hidden = lossy_columns(marks, columns, envelope.length)
    between = drawn_range(low, high, hidden)
    _shade(canvas, marks, envelope.length, top, height)
    _label(canvas, envelope, index, top, height)
    if between is None:
        canvas.text(LEFT + 12, top + height / 2, "no finite sample", size=TEXT, colour=Colour.ALERT)
        return
    numbers = {top + INSET: between[1], top + height - INSET: between[0]}
    if np.nanmin(low) == np.nanmax(high):
        numbers = {top + height // 2: float(np.nanmax(high))}
    for y, value in numbers.items():
        canvas.text(NUMBERS, y, number(value), size=TEXT, colour=Colour.SOFT, anchor="end")
    canvas.band(LEFT, *course(low, high, between, width=PLOT, top=top, height=height))


def _values(reals: Sequence[float], cells: slice) -> Values:
    return np.asarray(reals[cells], np.float64)


def _shade(canvas: Canvas, marks: Sequence[Mark], length: float, top: int, height: int) -> None:
    """Shade where samples were lost over the whole height, and clipped ones at both edges."""
    for mark in marks:
        start, end = (PLOT * min(max(at / length, 0), 1) for at in (mark.start, mark.end))
        x, width = LEFT + min(start, PLOT - 3), max(end - start, 3)
        if mark.code == "dropout":
            canvas.rectangle(x, top, width, height, Colour.DROPOUT)
        elif mark.code == "clipped":
            canvas.rectangle(x, top, width, EDGE, Colour.CLIPPED)
            canvas.rectangle(x, top + height - EDGE, width, EDGE, Colour.CLIPPED)


def _label(canvas: Canvas, envelope: Envelope, index: int, top: int, height: int) -> None:
    """Write what a channel is called, what is wrong with it, and its unit, as far as it fits."""
    name = printable(envelope.names[index]) or "without a name"
    unit = printable(envelope.units[index])
    note = printable(envelope.notes[index]) if envelope.notes else ""
    lines = max(height // LINE, 1)
    written = [(line, Colour.INK) for line in _wrapped(canvas, f"{index + 1}. {name}", lines - 1)]
    written += [(line, Colour.ALERT) for line in _wrapped(canvas, note, lines - len(written))]
    written += [(f"in {unit}" if unit else "without a unit", Colour.SOFT)]
    first = top + (height - (min(len(written), lines) - 1) * LINE) / 2
    for line, (text, colour) in enumerate(written[:lines]):
        fitted = _fitted(canvas, text, TEXT, LABEL)
        canvas.text(MARGIN, first + line * LINE, fitted, size=TEXT, colour=colour)


def _wrapped(canvas: Canvas, text: str, lines: int) -> list[str]:
    """Break a text between words into lines of LABEL pixels, at most so many; the last is cut."""
    broken: list[str] = []
    for word in WORD.findall(text):
        longer = f"{broken[-1]} {word}" if broken else word
        if broken and (len(broken) >= lines or canvas.width(longer, TEXT) <= LABEL):
            broken[-1] = longer
        else:
            broken.append(word)
    return broken


def _time_axis(canvas: Canvas, envelope: Envelope, top: int, height: int) -> None:
    end = envelope.length
    y = top + height + 24
    for tick in ticks(end):
        x = LEFT + PLOT * tick / end
        canvas.rectangle(x - 1, top, 2, height + 8, Colour.GRID)
        canvas.text(x + 4, y, f"{tick:,g}", size=TEXT, colour=Colour.SOFT)
    what = "time in s" if envelope.seconds else "samples; the file states no rate"
    canvas.text(LEFT + PLOT, y + 28, what, size=TEXT, colour=Colour.SOFT, anchor="end")


def number(value: float) -> str:
    """Return a value in three digits, without an exponent where that is as short."""
    value += 0.0  # no zero has a sign
    return f"{value:,.0f}" if THOUSAND <= abs(value) < MILLION else f"{value:.3g}"


def _fitted(canvas: Canvas, text: str, size: int, width: float) -> str:
    """Return the text, or as much of it as fits, with an ellipsis."""
    if canvas.width(text, size) <= width:
        return text
    kept = len(text)
    while kept and canvas.width(f"{text[:kept]}…", size) > width:
        kept -= 1
    return f"{text[:kept].rstrip()}…"
