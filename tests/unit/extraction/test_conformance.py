"""This project is right about every shape of the conformance table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conformance.outcomes import outcome, outcome_in_child
from tests.conformance.readers import PROJECT, read_by_project
from tests.conformance.shape import Row, Shape, row
from tests.conformance.shapes import SHAPES
from worker.extraction.errors import C3DError

PAGE = Path(__file__).parents[3] / "docs" / "conformance.md"
USUAL = SHAPES[0]


def read(shape: Shape, folder: Path) -> Row | None:
    file = folder / "shape.c3d"
    file.write_bytes(shape.build())
    try:
        return read_by_project(file)
    except C3DError:
        return None


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_shape_is_read_right(tmp_path: Path, shape: Shape) -> None:
    assert outcome(shape, read(shape, tmp_path)) == "right"


def test_the_page_lists_every_shape_with_its_report() -> None:
    page = PAGE.read_text(encoding="utf-8")
    listed = [line.split(" | ")[:2] for line in page.splitlines() if re.match(r"\| .* \| \[", line)]
    assert listed == [[f"| {shape.name}", shape.link] for shape in SHAPES], "Run: make conformance"


def test_no_two_shapes_have_one_name() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES)


def test_a_file_that_its_reader_refuses_is_told_from_one_that_it_reads_wrong() -> None:
    refusal = Shape("", "", bytes, None)
    assert outcome(USUAL, row()) == "right"
    assert outcome(USUAL, row(frames=99)) == "wrong"
    assert outcome(USUAL, row(frames=99), warned=True) == "refused"
    assert outcome(USUAL, None) == "refused"
    assert outcome(refusal, row()) == "wrong"
    assert outcome(refusal, None) == "right"


def test_a_child_reads_like_the_parent(tmp_path: Path) -> None:
    file = tmp_path / "shape.c3d"
    file.write_bytes(USUAL.build())
    assert outcome_in_child(USUAL, PROJECT, file) == "right"
    file.write_bytes(b"")
    assert outcome_in_child(USUAL, PROJECT, file) == "refused"
    assert outcome_in_child(USUAL, "no such reader", file) == "refused"
