"""The number of frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.conformance.building import trial
from tests.conformance.shape import Shape, row, usual
from worker.local.recordings import Value

MANY = np.ones((70_000, 1))  # frames of one channel, more than 16 bits count
ONE = {"channels": 1, "names": ["CH1"], "rate": 100.0}  # of such a file


def many(frames: float = 65535, last: int = 65535, **more: dict[str, Value]) -> bytes:
    """70,000 frames, of which POINT:FRAMES and the header say these numbers; `more`: groups."""
    groups = {**more, "POINT": {"FRAMES": frames, **more.get("POINT", {})}}
    return usual(MANY, points=0, samples_per_frame=1, groups=groups, header={"last": last})


def in_header(first: int, last: int, **more: Any) -> bytes:
    """100 frames, of which the header says the range."""
    return usual(header={"first": first, "last": last}, **more)


LONG = row(**ONE, samples=70_000, frames=70_000)
CUT = 50 * 208  # bytes of 50 of the usual frames
IN_BLOCKS = {"points": 22}  # a frame of the usual channels takes one block then

SHAPES = (
    Shape("nothing special", "Documents/pointframes1", usual, row()),
    Shape(
        "one frame only",
        "Documents/thec3dframecount",
        lambda: usual(np.ones((10, 4))),
        row(samples=10, frames=1),
    ),
    Shape(
        "more than 65,535 frames: POINT:FRAMES is a real",
        "pyomeca/ezc3d#351",
        lambda: many(70_000.0),
        LONG,
    ),
    Shape(
        "more than 65,535 frames: POINT:LONG_FRAMES",
        "Documents/writingthec3dframecount1",
        lambda: many(POINT={"LONG_FRAMES": 70_000.0}),
        LONG,
    ),
    Shape(
        "more than 65,535 frames: TRIAL fields of 32 bits",
        "pyomeca/ezc3d#48",
        lambda: many(TRIAL=trial(1, 70_000)),
        LONG,
    ),
    Shape(
        "more than 65,535 frames: every count stops at 65,535",
        "pyomeca/ezc3d#372",
        many,
        LONG,
        may_refuse=True,
    ),
    Shape(
        "more than 65,535 frames: the counts wrap to 4,464",
        "pyomeca/ezc3d#308",
        lambda: many(4464, 4464),
        None,
    ),
    Shape(
        "the same, the wrapped count copied into the TRIAL fields",
        "Documents/thetrialgroup",
        lambda: many(4464, 4464, TRIAL=trial(1, 4464)),
        None,
    ),
    Shape(
        "65,535 frames and not one more",
        "Documents/readingtheframecount",
        lambda: usual(np.ones((65_535, 1)), points=0, samples_per_frame=1),
        row(**ONE, samples=65_535, frames=65_535),
    ),
    Shape(
        "the first frame is number 177",
        "pyomeca/ezc3d#224",
        lambda: in_header(177, 276, groups={"TRIAL": trial(177, 276)}),
        row(),
    ),
    Shape(
        "the same without a TRIAL group",
        "mocaptoolbox/mocaptoolbox#3",
        lambda: in_header(177, 276),
        row(),
    ),
    Shape(
        "the TRIAL group is empty",
        "EmbodiedCognition/py-c3d#1",
        lambda: usual(groups={"TRIAL": {}}),
        row(),
    ),
    Shape(
        "the header counts from 0 and its last frame is the number of frames",
        "pyomeca/ezc3d#135",
        lambda: in_header(0, 100),
        row(),
    ),
    Shape(
        "the header counts from 0 to 99",
        "pyomeca/ezc3d#316",
        lambda: in_header(0, 99),
        row(),
    ),
    Shape(
        "the header keeps the frames of the raw recording, of which the file holds a part",
        "Documents/maintainingc3dframecountcompatibility1",
        lambda: in_header(1, 250),
        row(),
        may_refuse=True,
    ),
    Shape(
        "the header's first frame is behind its last",
        "Documents/notesforprogrammersc3dheader",
        lambda: in_header(250, 149),
        row(),
    ),
    Shape(
        "POINT:FRAMES is one more than the frames that are there",
        "Documents/pointframes1",
        lambda: usual(groups={"POINT": {"FRAMES": 101}}, **IN_BLOCKS),
        row(),
    ),
    Shape(
        "POINT:FRAMES counts fields, twice as many as frames",
        "Documents/thetrialgroup",
        lambda: usual(groups={"POINT": {"FRAMES": 200}}),
        row(),
        may_refuse=True,
    ),
    Shape(
        "the TRIAL fields say half of the frames, and the file is cut there",
        "Documents/thetrialgroup",
        lambda: usual(groups={"TRIAL": trial(1, 64)}, **IN_BLOCKS)[: -36 * 512],
        None,
    ),
    Shape(
        "a file that was never closed: no frames declared, and all are there",
        "pyomeca/ezc3d#300",
        lambda: usual(groups={"POINT": {"FRAMES": 0}}, header={"last": 0}),
        row(),
        may_refuse=True,
    ),
    Shape(
        "no frames declared, and none are there",
        "pyomeca/ezc3d#300",
        lambda: usual(np.ones((0, 4))),
        row(samples=0, frames=0),
        may_refuse=True,
    ),
    Shape(
        "half of the frames are missing",
        "EmbodiedCognition/py-c3d#4",
        lambda: usual()[:-CUT],
        None,
    ),
    Shape(
        "the last block is missing",
        "EmbodiedCognition/py-c3d#4",
        lambda: usual()[:-512],
        None,
    ),
)
