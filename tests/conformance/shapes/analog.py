"""Which analog samples there are."""

from __future__ import annotations

import numpy as np

from tests.conformance.building import without_analog_words
from tests.conformance.shape import SAMPLES, Shape, row, usual, without_analog
from worker.local.recordings import Raw

EVERYTHING = ("USED", "RATE", "GEN_SCALE", "UNITS", "DESCRIPTIONS")  # in a group without channels

SHAPES = (
    Shape(
        "no points",
        "pyomeca/pyomeca#34",
        lambda: usual(points=0),
        row(),
    ),
    Shape(
        "no points, and no POINT:LABELS",
        "kineticstoolkit/kineticstoolkit#190",
        lambda: usual(points=0, groups={"POINT": {"LABELS": None}}),
        row(),
    ),
    Shape(
        "points only: the ANALOG group has no channels",
        "pyomeca/pyomeca#144",
        lambda: usual(None, frames=100),
        without_analog(),
    ),
    Shape(
        "points only: the ANALOG group is empty",
        "pyomeca/pyomeca#146",
        lambda: usual(
            None,
            frames=100,
            groups={
                "ANALOG": dict.fromkeys(("USED", "RATE", "GEN_SCALE", "UNITS", "DESCRIPTIONS"))
            },
        ),
        without_analog(),
    ),
    Shape(
        "the header says 0 analog values and 0 samples a frame, and they are there",
        "pyomeca/ezc3d#307",
        lambda: without_analog_words(usual()),
        row(),
    ),
    Shape(
        "the same without points",
        "kineticstoolkit/kineticstoolkit#219",
        lambda: without_analog_words(usual(points=0)),
        row(),
    ),
    Shape(
        "the same without ANALOG:RATE",
        "pyomeca/ezc3d#52",
        lambda: without_analog_words(usual(groups={"ANALOG": {"RATE": None}})),
        row(),
        may_refuse=True,
    ),
    Shape(
        "the header says 0 samples a frame",
        "pyomeca/ezc3d#377",
        lambda: usual(header={"samples_per_frame": 0}),
        row(),
    ),
    Shape(
        "the header counts the channels and not the samples of all",
        "pyomeca/ezc3d#377",
        lambda: usual(header={"analog": 4}),
        row(),
    ),
    Shape(
        "ANALOG:USED is absent",
        "pyomeca/ezc3d#52",
        lambda: usual(groups={"ANALOG": {"USED": None}}),
        row(),
    ),
    Shape(
        "ANALOG:USED counts a channel fewer than there are",
        "pyomeca/ezc3d#307",
        lambda: usual(groups={"ANALOG": {"USED": 3}}),
        row(),
        may_refuse=True,
    ),
    Shape(
        "ANALOG:USED is a byte",
        "pyomeca/ezc3d#138",
        lambda: usual(groups={"ANALOG": {"USED": Raw(1, (), b"\4")}}),
        row(),
    ),
    Shape(
        "ANALOG:USED is a real",
        "pyomeca/ezc3d#138",
        lambda: usual(groups={"ANALOG": {"USED": 4.0}}),
        row(),
    ),
    Shape(
        "ANALOG:USED is a list of one number",
        "pyomeca/ezc3d#366",
        lambda: usual(groups={"ANALOG": {"USED": [4]}}),
        row(),
    ),
    Shape(
        "300 channels, in LABELS and LABELS2",
        "opensim-org/opensim-core#3606",
        lambda: usual(np.ones((200, 300))),
        row(channels=300, names=[f"CH{n}" for n in range(1, 301)], samples=200, frames=20),
    ),
    Shape(
        "600 channels, in LABELS to LABELS3",
        "kineticstoolkit/kineticstoolkit#191",
        lambda: usual(np.ones((200, 600))),
        row(channels=600, names=[f"CH{n}" for n in range(1, 601)], samples=200, frames=20),
    ),
    Shape(
        "ANALOG:OFFSET holds reals",
        "pyomeca/ezc3d#391",
        lambda: usual(groups={"ANALOG": {"OFFSET": [0.0] * 4}}),
        row(),
    ),
    Shape(
        "ANALOG:OFFSET and SCALE are absent",
        "pyomeca/ezc3d#174",
        lambda: usual(groups={"ANALOG": {"OFFSET": None, "SCALE": None}}),
        row(),
    ),
    Shape(
        "ANALOG:SCALE is empty",
        "pyomeca/ezc3d#209",
        lambda: usual(groups={"ANALOG": {"SCALE": Raw(4, (0,), b"")}}),
        row(),
    ),
    Shape(
        "ANALOG:SCALE and GEN_SCALE are 0",
        "Biomechanical-ToolKit/BTKCore#13",
        lambda: usual(groups={"ANALOG": {"SCALE": [0.0] * 4, "GEN_SCALE": 0.0}}),
        row(),
    ),
    Shape(
        "ANALOG:FORMAT is UNSIGNED, with offsets of 32,768",
        "pyomeca/ezc3d#376",
        lambda: usual(
            SAMPLES,
            real=False,
            groups={"ANALOG": {"FORMAT": "UNSIGNED", "OFFSET": [32768] * 4}},
        ),
        row(),
    ),
)
