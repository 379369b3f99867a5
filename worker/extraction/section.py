"""Walks a C3D file's parameter section, checks every step, and keeps what this project reads.

The package c3d trusts the file: a pointer may lead it out of the section, and a few bytes of
dimensions may make it allocate gigabytes. So this module walks the section first, at a cost linear
in its length, and gives c3d a section rebuilt from the wanted parameters that are complete. That
also removes duplicates, descriptions and personal identifiers before anything decodes them.

Source: the C3D manual, "The Header Section" and "The Parameter Section".
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from worker.extraction.errors import NotC3DError, TruncatedC3DError, UnsupportedC3DError
from worker.extraction.wanted import ESSENTIAL, ESSENTIAL_ANALOG, SPARED, WANTED

PREFIX_BYTES = 256 * 1024  # holds all metadata, which end at byte 260,608 at the latest
BLOCK = 512  # bytes
MAGIC = 0x50
INTEL, DEC, MIPS = PROCESSORS = (84, 85, 86)
MAX_SECTION = 255 * BLOCK  # bytes: the section states its length in one byte, in blocks
MAX_DIMENSIONS = 2  # every wanted parameter is a value, a list, or a list of texts
MAX_VALUE = 0x7FFF - 4  # bytes of numbers: c3d's pointer to the next record is a signed 16-bit one
TEXT = 0xFF  # the type of a parameter that holds characters
ELEMENT_BYTES = {TEXT: 1, 1: 1, 2: 2, 4: 4}  # by type: text (-1), byte, integer, real

_EVENT_COUNT = slice(300, 302)  # header word 151


@dataclass(frozen=True, slots=True)
class Section:
    """Where the parameter section is, and how its numbers are stored."""

    start: int  # offset of the first byte in the file
    end: int  # offset of the byte after the last
    processor: int  # one of PROCESSORS

    @property
    def order(self) -> str:
        """The byte order in the notation of `struct`."""
        return ">" if self.processor == MIPS else "<"


@dataclass(frozen=True, slots=True)
class CleanSection:
    """What is safe to decode."""

    file: bytes  # header and a section with the wanted numbers, for c3d
    texts: Mapping[str, tuple[bytes, ...]]  # the rows of the wanted texts, by `GROUP:NAME`


@dataclass(frozen=True, slots=True)
class _Record:
    group_id: int  # negative for the group itself, positive for its parameters
    name: str
    body: bytes  # what follows the pointer to the next record
    leaves: bool  # its pointer leads out of the section, so this is the last record


def locate_section(prefix: bytes, size: int) -> Section:
    """Find the parameter section in a file of `size` bytes whose first bytes are `prefix`.

    The section ends where the data starts, whatever its own block count says: some programs write
    a count that is too small, others one that is too large.

    Raises:
        NotC3DError: the file is too short or of another format.
        TruncatedC3DError: the file ends before its parameter section.
    """
    if size < BLOCK:
        raise NotC3DError(f"The file holds {size:,} bytes; a C3D header alone has {BLOCK}.")
    if prefix[1] != MAGIC or prefix.startswith(b"%PDF"):  # a PDF has the magic byte, too
        raise NotC3DError("The file does not start with a C3D header.")
    start = (prefix[0] - 1) * BLOCK
    if start < BLOCK:
        raise NotC3DError(f"The file's pointer to its parameters is {prefix[0]}; 2 is the least.")
    if size < start + 4:
        raise TruncatedC3DError(
            f"The file holds {size:,} bytes and ends before its parameters at byte {start:,}."
        )
    blocks, processor = prefix[start + 2], prefix[start + 3]
    if processor not in PROCESSORS:
        raise NotC3DError(f"The file's processor type is {processor}; C3D knows 84, 85 and 86.")
    data_block = struct.unpack_from(">H" if processor == MIPS else "<H", prefix, 16)[0]
    data_start = (data_block - 1) * BLOCK
    end = data_start if data_start > start else start + blocks * BLOCK
    return Section(start, min(end, start + MAX_SECTION, len(prefix)), processor)


def clean_section(prefix: bytes, section: Section) -> CleanSection:
    """Rebuild header and parameter section so that c3d decodes them safely.

    The header keeps its numbers but loses its events. Parameters get at least one dimension, so
    that c3d's array accessors, which alone decode a DEC zero correctly, work for single values too.

    Raises:
        UnsupportedC3DError: a wanted parameter is malformed, or the section is damaged before
            everything essential was found.
    """
    groups: dict[int, str] = {}
    bodies: dict[tuple[int, str], bytes] = {}
    faults: list[str] = []
    for record in _walk(prefix, section):
        if record.group_id > 0:  # of duplicates the first counts
            bodies.setdefault((record.group_id, record.name), record.body)
        elif groups.setdefault(-record.group_id, record.name) != record.name:
            faults.append(f"Its group {_shown(record.name)} has the number of another.")
        if record.leaves:
            faults.append(f"Its parameter {_shown(record.name)} leads out of the section.")
    parameters: dict[tuple[str, str], bytes] = {}
    for (group_id, name), body in bodies.items():
        group = groups.get(group_id, "")
        length = _value_length(body)
        if not 0 < length <= len(body):
            faults.append(f"Its parameter {_shown(f'{group}:{name}')} is cut short.")
        elif _is_wanted(group, name) and (value := _value(group, name, body[:length])):
            parameters.setdefault((group, name), value)
    if faults:
        _require_essential(prefix, section, parameters, faults[0])
    numbers = {name: value for name, value in parameters.items() if value[0] != TEXT}
    texts = {
        f"{group}:{name}": _rows(value)
        for (group, name), value in parameters.items()
        if value[0] == TEXT
    }
    return CleanSection(_rebuild(prefix, section, numbers), texts)


def _rows(value: bytes) -> tuple[bytes, ...]:
    """Return the rows of a text parameter; one of one dimension has one row."""
    width, data = value[2] or 1, value[2 + value[1] :]
    return tuple(data[at : at + width] for at in range(0, len(data), width))


def _walk(prefix: bytes, section: Section) -> Iterator[_Record]:
    position = section.start + 4
    while position + 2 <= section.end:
        name_length, group_id = struct.unpack_from("bb", prefix, position)
        if name_length == 0 or group_id == 0:  # the section's regular end
            return
        pointer = position + 2 + abs(name_length)  # a locked record's length is negative
        name = prefix[position + 2 : pointer].decode("latin-1").strip().upper()
        if pointer + 2 > section.end:
            yield _Record(group_id, name, b"", leaves=True)
            return
        offset = struct.unpack_from(section.order + "H", prefix, pointer)[0]
        following = pointer + offset
        leaves = following > section.end
        last = leaves or offset == 0
        body = prefix[pointer + 2 : section.end if last else following]
        yield _Record(group_id, name, body, leaves)
        if last:
            return
        position = following


def _is_wanted(group: str, name: str) -> bool:
    pattern = WANTED.get(group)
    return pattern is not None and re.fullmatch(pattern, name) is not None


def _shown(name: str) -> str:
    """Return a name of unknown content in a form that is safe to print."""
    return ascii(name[:40])


def _value_length(body: bytes) -> int:
    """Return the bytes that a parameter's type, dimensions and data take; 0 if it is malformed."""
    if len(body) < 2 or (element := ELEMENT_BYTES.get(body[0])) is None:  # noqa: PLR2004 - type and number of dimensions, a byte each
        return 0
    count = body[1]
    return 2 + count + math.prod(body[2 : 2 + count]) * element


def _value(group: str, name: str, value: bytes) -> bytes:
    """Return type, dimensions and data in a form that c3d decodes safely; empty: leave it out."""
    fault = ""
    if value[1] > MAX_DIMENSIONS:
        fault = f"{value[1]} dimensions; {MAX_DIMENSIONS} can be read."
    elif len(value) > MAX_VALUE and (value[0] != TEXT or group in SPARED):
        fault = f"{len(value):,} bytes; {MAX_VALUE:,} can be read."
    if fault and group in SPARED:
        return b""
    if fault:
        raise UnsupportedC3DError(f"The parameter {group}:{name} has {fault}")
    return value if value[1] else value[:1] + b"\1\1" + value[2:]


def _require_essential(
    prefix: bytes, section: Section, parameters: dict[tuple[str, str], bytes], fault: str
) -> None:
    analog_words = struct.unpack_from(section.order + "H", prefix, 4)[0]
    essential = ESSENTIAL | (ESSENTIAL_ANALOG if analog_words else frozenset())
    if missing := sorted(f"{group}:{name}" for group, name in essential - parameters.keys()):
        raise UnsupportedC3DError(f"{fault} {', '.join(missing)} cannot be found.")


def _rebuild(prefix: bytes, section: Section, parameters: dict[tuple[str, str], bytes]) -> bytes:
    header = bytearray(prefix[:BLOCK])
    header[0] = 2  # the rebuilt section follows the header
    header[_EVENT_COUNT] = b"\0\0"
    found = dict.fromkeys(group for group, _ in parameters)
    ids = {group: number for number, group in enumerate(found, start=1)}
    records = [_record(group, -number, b"\0", section.order) for group, number in ids.items()]
    records += [
        _record(name, ids[group], body + b"\0", section.order)
        for (group, name), body in parameters.items()
    ]
    content = b"".join(records) + b"\0\0"
    blocks = -(-(len(content) + 4) // BLOCK)
    if blocks * BLOCK > MAX_SECTION:
        raise UnsupportedC3DError("The parameter section is longer than 255 blocks.")
    start = bytes([1, MAGIC, blocks, section.processor])
    return bytes(header) + (start + content).ljust(blocks * BLOCK, b"\0")


def _record(name: str, group_id: int, body: bytes, order: str) -> bytes:
    encoded = name.encode("latin-1")
    return (
        struct.pack("bb", len(encoded), group_id)
        + encoded
        + struct.pack(order + "h", 2 + len(body))
        + body
    )
