"""The rates of frames and samples."""

from __future__ import annotations

import math

import numpy as np

from tests.conformance.shape import Shape, row, usual, without_analog


def rated(frame_rate: float, per_frame: int, analog_rate: float) -> bytes:
    """100 frames whose rates are as given."""
    return usual(
        np.ones((100 * per_frame, 4)),
        samples_per_frame=per_frame,
        frame_rate=frame_rate,
        groups={"ANALOG": {"RATE": analog_rate}},
    )


SHAPES = (
    Shape(
        "59.94 frames a second, 10 samples in each",
        "EmbodiedCognition/py-c3d#11",
        lambda: rated(59.94, 10, 599.4),
        row(frame_rate=59.94, rate=599.4),
    ),
    Shape(
        "33.3333 frames a second stand beside 1,000 samples",
        "pyomeca/ezc3d#283",
        lambda: rated(33.3333, 30, 1000.0),
        row(frame_rate=33.3333, samples=3000),
    ),
    Shape(
        "59.94 frames a second stand beside 1,200 samples",
        "pyomeca/ezc3d#283",
        lambda: rated(59.94, 20, 1200.0),
        row(frame_rate=59.94, samples=2000, rate=1200.0),
        may_refuse=True,
    ),
    Shape(
        "150.001 frames of 19 samples stand beside 3,000 samples a second",
        "pyomeca/ezc3d#294",
        lambda: rated(150.001, 19, 3000.0),
        None,
    ),
    Shape(
        "29.97 frames of 33 samples stand beside 1,000 samples a second",
        "pyomeca/ezc3d#294",
        lambda: rated(29.97, 33, 1000.0),
        None,
    ),
    Shape(
        "ANALOG:RATE is absent",
        "pyomeca/ezc3d#52",
        lambda: usual(groups={"ANALOG": {"RATE": None}}),
        row(),
    ),
    Shape(
        "ANALOG:RATE is 0 beside channels",
        "pyomeca/pyomeca#146",
        lambda: usual(groups={"ANALOG": {"RATE": 0.0}}),
        row(rate=None),
        may_refuse=True,
    ),
    Shape(
        "ANALOG:RATE is not a number",
        "pyomeca/pyomeca#146",
        lambda: usual(groups={"ANALOG": {"RATE": math.nan}}),
        row(rate=None),
        may_refuse=True,
    ),
    Shape(
        "POINT:RATE is absent",
        "EmbodiedCognition/py-c3d#11",
        lambda: usual(groups={"POINT": {"RATE": None}}),
        row(),
    ),
    Shape(
        "the rates are whole numbers",
        "kineticstoolkit/kineticstoolkit#110",
        lambda: usual(groups={"POINT": {"RATE": 100}, "ANALOG": {"RATE": 1000}}),
        row(),
    ),
    Shape(
        "the header's frame rate is 0",
        "Documents/notesforprogrammersc3dheader",
        lambda: usual(header={"frame_rate": 0.0}),
        row(),
    ),
    Shape(
        "ANALOG:RATE is 0, there are no channels",
        "pyomeca/pyomeca#145",
        lambda: usual(None, frames=100, groups={"ANALOG": {"RATE": 0.0}}),
        without_analog(),
    ),
)
