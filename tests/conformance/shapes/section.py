"""The parameter section: how its records are written and where it lies."""

from __future__ import annotations

from tests.conformance.building import moved_behind_the_data, padded
from tests.conformance.shape import Shape, row, usual
from worker.local.recordings import record

START = 512  # of the section in the usual file
FIRST = START + 4  # of its first record


def patched(position: int, *values: int) -> bytes:
    """The usual file with other bytes at a position."""
    file = bytearray(usual())
    file[position : position + len(values)] = bytes(values)
    return bytes(file)


def with_records(*records: bytes) -> bytes:
    """The usual file with records of one's own behind all others."""
    file = usual()
    blocks = file[START + 2]
    section = file[FIRST : START + blocks * 512].rstrip(b"\0") + b"\0" + b"".join(records)
    return file[:FIRST] + section.ljust(blocks * 512 - 4, b"\0") + file[START + blocks * 512 :]


def locked() -> bytes:
    """The usual file with ANALOG parameters locked: the lengths of their names are negative."""
    file = bytearray(usual())
    for name in (b"USED", b"RATE", b"LABELS", b"SCALE", b"OFFSET"):
        at = file.rindex(bytes([len(name), 2]) + name)
        file[at] = 256 - len(name)
    return bytes(file)


def reversed_records() -> bytes:
    """The usual file with every parameter before the record of its group."""
    file = usual()
    end = START + file[START + 2] * 512
    records, at = [], FIRST
    while file[at]:
        pointer = at + 2 + file[at]
        following = pointer + int.from_bytes(file[pointer : pointer + 2], "little")
        records.append(file[at:following])
        at = following
    return file[:FIRST] + b"".join(reversed(records)).ljust(end - FIRST, b"\0") + file[end:]


def last_without_pointer() -> bytes:
    """The usual file whose last parameter has no pointer to a next one."""
    file = bytearray(with_records(record("NOTE", 1, b"\xff\1\4text\0")))
    at = file.rindex(b"NOTE") + 4
    file[at : at + 2] = bytes(2)
    return bytes(file)


def out_of_the_section() -> bytes:
    """The usual file whose last parameter's pointer leads far out of the section."""
    file = bytearray(with_records(record("NOTE", 1, b"\xff\1\4text\0")))
    at = file.rindex(b"NOTE") + 4
    file[at : at + 2] = (20_000).to_bytes(2, "little")
    return bytes(file)


def pushed_back() -> bytes:
    """The usual file with a block of another program between header and parameters."""
    start = usual()[16] + 1  # the block of the data, then
    file = usual(header={"data_block": start}, groups={"POINT": {"DATA_START": start}})
    return b"\3" + file[1:START] + b"\xaa" * 512 + file[START:]


RATE_OF_5 = record("RATE", 2, b"\4\0" + b"\0\0\xa0\x40" + b"\0")

SHAPES = (
    Shape(
        "the section's first two bytes are 0",
        "pyomeca/ezc3d#306",
        lambda: patched(START, 0, 0),
        row(),
    ),
    Shape(
        "the section counts a block too few",
        "Biomechanical-ToolKit/BTKCore#13",
        lambda: patched(START + 2, 1),
        row(),
    ),
    Shape(
        "the section counts 255 blocks",
        "Biomechanical-ToolKit/BTKCore#13",
        lambda: patched(START + 2, 255),
        row(),
    ),
    Shape(
        "the section counts 0 blocks",
        "Documents/parameterheader",
        lambda: patched(START + 2, 0),
        row(),
    ),
    Shape(
        "a number between the groups is left out",
        "pyomeca/ezc3d#388",
        lambda: with_records(record("MORE", -9, b"\0"), record("NOTE", 9, b"\xff\1\4text\0")),
        row(),
    ),
    Shape(
        "every parameter stands before its group",
        "Documents/notesforprogrammersparametersandgroups",
        reversed_records,
        row(),
    ),
    Shape(
        "another group stands first",
        "pyomeca/ezc3d#162",
        lambda: usual(groups={"SUBJECTS": {"USED": 0}, "MANUFACTURER": {"COMPANY": "none"}}),
        row(),
    ),
    Shape(
        "parameters are locked",
        "Documents/parameterformat1",
        locked,
        row(),
    ),
    Shape(
        "names of groups and parameters in lower case",
        "Documents/gloss_characters",
        lambda: usual().replace(b"ANALOG", b"analog").replace(b"LABELS", b"labels"),
        row(),
    ),
    Shape(
        "a parameter stands there twice",
        "EmbodiedCognition/py-c3d#43",
        lambda: with_records(RATE_OF_5),
        row(),
        may_refuse=True,
    ),
    Shape(
        "a parameter has a group without a record",
        "pyomeca/ezc3d#388",
        lambda: with_records(record("NOTE", 40, b"\xff\1\4text\0")),
        row(),
    ),
    Shape(
        "the last parameter has no pointer to a next one",
        "Documents/notesforprogrammersparametersandgroups",
        last_without_pointer,
        row(),
    ),
    Shape(
        "the last parameter's pointer leads out of the section",
        "pyomeca/ezc3d#240",
        out_of_the_section,
        row(),
    ),
    Shape(
        "a block of another program before the section",
        "Documents/notesforprogrammersc3dheader",
        pushed_back,
        row(),
    ),
    Shape(
        "the section lies behind the data",
        "Documents/notesforprogrammersc3dheader",
        lambda: moved_behind_the_data(usual),
        row(),
        may_refuse=True,
    ),
    Shape(
        "65,535 events in the header",
        "Documents/notesforprogrammersc3dheader",
        lambda: usual(header={"events": 65535}),
        row(),
    ),
    Shape(
        "FORCE_PLATFORM:USED is a byte",
        "pyomeca/ezc3d#138",
        lambda: with_records(record("FORCE_PLATFORM", -5, b"\0"), record("USED", 5, b"\1\0\0\0")),
        row(),
    ),
    Shape(
        "the file ends in its parameters",
        "pyomeca/ezc3d#109",
        lambda: padded(usual()[: START + 300])[: START + 300],
        None,
    ),
)
