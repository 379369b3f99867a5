"""How and where the data are stored."""

from __future__ import annotations

from tests.conformance.building import trial, with_rotations
from tests.conformance.shape import Shape, row, usual, without_analog
from worker.local.recordings import DEC, MIPS

SHAPES = (
    Shape("integers", "3ddatasection", lambda: usual(real=False), row()),
    Shape("DEC, reals", "EmbodiedCognition/py-c3d#15", lambda: usual(processor=DEC), row()),
    Shape(
        "DEC, integers",
        "cadop/pyCGM#2",
        lambda: usual(processor=DEC, real=False),
        row(),
    ),
    Shape("MIPS, reals", "pyomeca/ezc3d#386", lambda: usual(processor=MIPS), row()),
    Shape(
        "MIPS, integers",
        "EmbodiedCognition/py-c3d#30",
        lambda: usual(processor=MIPS, real=False),
        row(),
    ),
    Shape(
        "the header's scale says integers and POINT:SCALE says reals",
        "Documents/notesforprogrammersfloatingpoint3ddata1",
        lambda: usual(header={"scale": 1.0}),
        row(),
    ),
    Shape(
        "POINT:DATA_START is wrong, the header's pointer is right",
        "pyomeca/ezc3d#293",
        lambda: usual(groups={"POINT": {"DATA_START": 9}}),
        row(),
        may_refuse=True,
    ),
    Shape(
        "the header's pointer to the data is 0",
        "pyomeca/ezc3d#293",
        lambda: usual(header={"data_block": 0}),
        row(),
    ),
    Shape(
        "bytes of 25 frames behind the data that all counts declare",
        "3ddatasection",
        lambda: usual() + bytes(25 * 208),
        row(),
    ),
    Shape(
        "rotations only",
        "pyomeca/ezc3d#316",
        lambda: with_rotations(340, 21, frame_rate=85.0),
        without_analog(frames=340, frame_rate=85.0),
    ),
    Shape(
        "rotations only, most of them missing",
        "pyomeca/ezc3d#361",
        lambda: with_rotations(340, 21, frame_rate=85.0)[:20_000],
        None,
    ),
    Shape(
        "markers, and rotations behind them",
        "pyomeca/ezc3d#244",
        lambda: with_rotations(100, 2, points=5),
        without_analog(),
    ),
    Shape(
        "one marker, and as many bytes of rotations as 65,536 frames",
        "pyomeca/ezc3d#372",
        lambda: with_rotations(1000, 20, points=1, groups={"TRIAL": trial(1, 1000)}),
        without_analog(frames=1000),
    ),
    Shape(
        "frames of neither points nor samples",
        "pyomeca/ezc3d#64",
        lambda: usual(None, frames=30, points=0),
        {"channels": 0, "names": [], "samples": None, "rate": None},
        may_refuse=True,
    ),
)
