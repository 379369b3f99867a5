"""The names of the channels."""

from __future__ import annotations

import numpy as np

from tests.conformance.shape import NAMES, Shape, row, usual
from worker.local.recordings import Raw, Value

LONG = [f"{number} {'of a long name':.<120}" for number in range(255)]


def named(*labels: bytes, fill: bytes = b" ") -> bytes:
    """The usual file with these names in ANALOG:LABELS."""
    width = max(map(len, labels))
    return with_labels(
        Raw(-1, (width, len(labels)), b"".join(e.ljust(width, fill) for e in labels))
    )


def with_labels(value: Value) -> bytes:
    """The usual file with this ANALOG:LABELS."""
    return usual(groups={"ANALOG": {"LABELS": value}})


SHAPES = (
    Shape(
        "ANALOG:LABELS is absent",
        "PhilD001/biomechZoo#3",
        lambda: with_labels(None),
        row(names=[""] * 4),
    ),
    Shape(
        "fewer names than channels",
        "pyomeca/ezc3d#167",
        lambda: with_labels(list(NAMES[:2])),
        row(names=[*NAMES[:2], "", ""]),
    ),
    Shape(
        "more names than channels",
        "kineticstoolkit/kineticstoolkit#190",
        lambda: with_labels([*NAMES, "EMG 5", "EMG 6"]),
        row(),
    ),
    Shape(
        "equal and blank names",
        "kineticstoolkit/kineticstoolkit#191",
        lambda: named(b"EMG", b"EMG", b"", b"EMG"),
        row(names=["EMG", "EMG", "", "EMG"]),
    ),
    Shape(
        "one channel, whose LABELS have one dimension",
        "pyomeca/ezc3d#366",
        lambda: usual(np.ones((1000, 1)), groups={"ANALOG": {"LABELS": "Biceps"}}),
        row(channels=1, names=["Biceps"]),
    ),
    Shape(
        "names padded with NUL",
        "EmbodiedCognition/py-c3d#14",
        lambda: named(b"A", b"BB", b"CCC", b"DDDD", fill=b"\0"),
        row(names=["A", "BB", "CCC", "DDDD"]),
    ),
    Shape(
        "names in UTF-8",
        "Documents/gloss_utf8",
        lambda: named("µV→".encode(), "Glúteo".encode(), b"C", b"D"),
        row(names=["µV→", "Glúteo", "C", "D"]),
    ),
    Shape(
        "a name in UTF-8, cut in the middle of a character",
        "Documents/gloss_utf8",
        lambda: named("Glútéo".encode()[:6], b"BBBBBB", b"C", b"D"),
        row(names=["Glút", "BBBBBB", "C", "D"]),
    ),
    Shape(
        "names in Windows-1252: dash, apostrophe and euro",
        "Documents/gloss_characters",
        lambda: named(b"R \x96 Glut\xe9", b"L\x92extenseur", b"\x80", b"D"),
        row(names=["R \u2013 Gluté", "L\u2019extenseur", "\u20ac", "D"]),
    ),
    Shape(
        "255 names of more than 120 characters",
        "Documents/analoglabels2",
        lambda: usual(np.ones((200, 255)), labels=LONG),
        row(channels=255, names=LONG, samples=200, frames=20),
    ),
    Shape(
        "names of 255 characters",
        "Documents/gloss_utf8",
        lambda: named(b"A" * 255, b"B", b"C", b"D"),
        row(names=["A" * 255, "B", "C", "D"]),
    ),
    Shape(
        "ANALOG:LABELS hold numbers",
        "pyomeca/ezc3d#366",
        lambda: with_labels([1, 2, 3, 4]),
        row(names=[""] * 4),
        may_refuse=True,
    ),
    Shape(
        "ANALOG:LABELS say 4 GB of names in a small file",
        "pyomeca/ezc3d#109",
        lambda: with_labels(Raw(-1, (255, 255, 255, 255), b"A" * 300)),
        None,
    ),
)
