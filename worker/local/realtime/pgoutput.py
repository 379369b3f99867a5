"""Decodes the messages of PostgreSQL's `pgoutput` plugin, protocol version 1, text values.

Source: PostgreSQL's manual, "Logical Replication Message Formats".
"""

from __future__ import annotations

import datetime as dt
import struct
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

_EPOCH: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_KINDS: Final[dict[bytes, Kind]] = {b"I": "INSERT", b"U": "UPDATE", b"D": "DELETE"}

Kind = Literal["INSERT", "UPDATE", "DELETE"]


class _Unchanged(Enum):
    """A large value that the update did not change, and that is not in the log."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = _Unchanged.UNCHANGED
Value = str | None | Literal[_Unchanged.UNCHANGED]
Row = dict[str, Value]


@dataclass(frozen=True)
class Relation:
    """A table as the log describes it."""

    oid: int
    schema: str
    table: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """One changed row; `new` and `old` contain what the log has of it."""

    kind: Kind
    relation: Relation
    committed_at: dt.datetime
    new: Row | None
    old: Row | None
    old_is_whole: bool  # with REPLICA IDENTITY FULL; otherwise `old` has at most the key


class _Reader:
    """Reads a message from front to back."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._message)

    def take(self, size: int) -> bytes:
        taken = self._message[self._at : self._at + size]
        self._at += size
        return taken

    def number(self, form: str) -> int:
        (number,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return int(number)

    def text(self) -> str:
        end = self._message.index(0, self._at)
        taken = self._message[self._at : end].decode()
        self._at = end + 1
        return taken

    def row(self, columns: tuple[str, ...]) -> Row:
        count = self.number(">H")
        return {column: self._value() for column in columns[:count]}

    def _value(self) -> Value:
        match self.take(1):
            case b"t":
                return self.take(self.number(">I")).decode()
            case b"u":
                return UNCHANGED
            case _:
                return None


@dataclass
class Decoder:
    """Turns the messages of one slot into changes; it needs all of them, in order."""

    _relations: dict[int, Relation] = field(default_factory=dict)
    _committed_at: dt.datetime = _EPOCH

    def feed(self, message: bytes) -> Change | None:
        """Decode the next message, and return its change; None for other messages."""
        reader = _Reader(message)
        match reader.take(1):
            case b"B":
                reader.take(8)
                self._committed_at = _EPOCH + dt.timedelta(microseconds=reader.number(">q"))
            case b"R":
                self._learn(reader)
            case (b"I" | b"U" | b"D") as kind:
                return self._change(_KINDS[kind], reader)
            case _:
                pass  # commit, type, origin, truncate: clients cannot subscribe to them
        return None

    def _learn(self, reader: _Reader) -> None:
        oid, schema, table = reader.number(">I"), reader.text(), reader.text()
        reader.take(1)  # replica identity
        columns = []
        for _ in range(reader.number(">H")):
            reader.take(1)  # whether the column belongs to the key
            columns.append(reader.text())
            reader.take(8)  # type and its modifier
        self._relations[oid] = Relation(oid, schema or "pg_catalog", table, tuple(columns))

    def _change(self, kind: Kind, reader: _Reader) -> Change:
        relation = self._relations[reader.number(">I")]
        rows: dict[bytes, Row] = {}
        while not reader.at_end:
            part = reader.take(1)  # N: the new row, K: the old key, O: the old row
            rows[part] = reader.row(relation.columns)
        old = rows.get(b"O", rows.get(b"K"))
        return Change(kind, relation, self._committed_at, rows.get(b"N"), old, b"O" in rows)
