"""The shapes, in the order of the table."""

from __future__ import annotations

from tests.conformance.shape import Shape
from tests.conformance.shapes import analog, counts, data, names, other, rates, section

SHAPES: tuple[Shape, ...] = (
    *counts.SHAPES,
    *rates.SHAPES,
    *analog.SHAPES,
    *names.SHAPES,
    *section.SHAPES,
    *data.SHAPES,
    *other.SHAPES,
)
