"""Writes docs/conformance.md: what three readers make of every shape. Run `make conformance`."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from pathlib import Path

from tests.conformance.outcomes import MEGABYTES, SECONDS, outcome_in_child
from tests.conformance.readers import READERS, version_of
from tests.conformance.shape import Shape
from tests.conformance.shapes import SHAPES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
OUTCOMES = ("right", "refused", "wrong", "crash", "hang")
NOT_INSTALLED = "not installed"

HEAD = f"""\
# Conformance

<!-- Written by `make conformance` from tests/conformance. Do not edit it here. -->

What readers of C3D files make of shapes that public reports and the manual describe: odd, damaged
and hostile files, and valid ones that surprise. Each file is made to order from its line in
[tests/conformance/shapes](../tests/conformance/shapes), and is read in a process of its own, with
{SECONDS} s of processor time and {MEGABYTES:,} MB. The report describes the shape or a trouble of
its kind, and is not always about the reader that has it today.

- **right**: channels, names, samples, rates and frames are those of the file, or a file without a
  trustworthy answer is refused.
- **refused**: the file has an answer, and the reader says that it cannot give one, or warns that
  its own is not whole.
- **wrong**: an answer that is not the file's, and nothing that warns.
- **crash**: the process ends by a signal. **hang**: it does not end in time, or not by itself.

For each reader this compares what a program gets that reads the whole file: the package c3d by
`read_frames`, ezc3d by its `data`.
"""


def main() -> None:
    """Read every shape with every reader, and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [(shape, _outcomes(shape, Path(folder) / "shape.c3d")) for shape in SHAPES]
    PAGE.write_text("\n".join([HEAD, *_summary(rows), "", *_table(rows), ""]), encoding="utf-8")


def _outcomes(shape: Shape, file: Path) -> list[str]:
    file.write_bytes(shape.build())
    return [
        outcome_in_child(shape, reader, file) if version_of(reader) else NOT_INSTALLED
        for reader in READERS
    ]


def _summary(rows: list[tuple[Shape, list[str]]]) -> list[str]:
    lines = [f"Of {len(rows)} shapes:", "", f"| reader | {' | '.join(OUTCOMES)} |"]
    lines.append(f"|---|{'---|' * len(OUTCOMES)}")
    for column, reader in enumerate(READERS):
        found = Counter(outcomes[column] for _, outcomes in rows)
        counts = " | ".join(str(found[each]) for each in OUTCOMES)
        lines.append(f"| {reader} {version_of(reader) or NOT_INSTALLED} | {counts} |")
    return lines


def _table(rows: list[tuple[Shape, list[str]]]) -> list[str]:
    lines = [f"| shape | report | right | {' | '.join(READERS)} |"]
    lines.append(f"|---|---|---|{'---|' * len(READERS)}")
    for shape, outcomes in rows:
        shown = (each if each == "right" else f"**{each}**" for each in outcomes)
        lines.append(f"| {shape.name} | {shape.link} | {_right(shape)} | {' | '.join(shown)} |")
    return lines


def _right(shape: Shape) -> str:
    if shape.row is None:
        return "a refusal"
    counts = [(name, shape.row.get(name)) for name in ("frames", "channels", "samples")]
    said = ", ".join(f"{count:,} {name}" for name, count in counts if count) or "no channels"
    said = re.sub(r"\b1 (\w+)s\b", r"1 \1", said)
    return f"{said}, or a refusal" if shape.may_refuse else said


if __name__ == "__main__":
    main()
