"""Objects that phase 1 has just downloaded, at hand for phase 2: each byte leaves Storage once.

Storage's egress is what a project pays for. The bytes lie in files without a name, which are gone
with the worker even when it is killed; whoever does not find them here downloads the object.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from uuid import UUID

import structlog

from worker.errors import DiskFullError

MAX_FILES = 256  # all open at once: by default a process may have 1,024

log = structlog.get_logger(__name__)


def temporary_file() -> BinaryIO:
    """Open an unbuffered file without a name.

    Raises:
        DiskFullError: the temporary folder takes no file.
    """
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise DiskFullError(f"No temporary file can be made ({error.strerror}).") from error


@dataclass(eq=False, slots=True)
class HeldObject:
    """The bytes of one object; none where there is no room for them."""

    size: int
    file: BinaryIO | None
    sha256: str = ""

    def write(self, chunk: bytes | memoryview) -> int:
        """Append a chunk, and return how much of it is dealt with; a full disk ends the holding."""
        if self.file:
            try:
                return self.file.write(chunk)
            except OSError as error:
                _say_why(error.strerror)
                self.close()
        return len(chunk)

    def close(self) -> None:
        """Give up the bytes."""
        if self.file:
            self.file.close()
            self.file = None


class HeldObjects:
    """Holds objects by the session that is to be read from them, within bounds."""

    def __init__(
        self, *, max_bytes: int = 0, max_object_bytes: int = 0, seconds: float = 0.0
    ) -> None:
        """Hold `max_bytes` in all, and each object for `seconds` at most; by default nothing."""
        self._max_bytes = max_bytes
        self._max_object_bytes = max_object_bytes
        self._seconds = seconds
        self._open: set[HeldObject] = set()
        self._kept: dict[UUID, HeldObject] = {}

    @property
    def bytes(self) -> int:
        """The bytes that are held, those included for which there is only room yet."""
        return sum(each.size for each in self._open)

    @property
    def files(self) -> int:
        """The files that are open for them."""
        return len(self._open)

    @property
    def sessions(self) -> list[UUID]:
        """The sessions that can be read from here, the longest held first."""
        return list(self._kept)

    @contextmanager
    def incoming(self, size: int | None) -> Iterator[HeldObject]:
        """Take the bytes of an object as they arrive; after the block only what is kept is left.

        Args:
            size: of the object, in bytes; None: unknown, and nothing is held.
        """
        incoming = HeldObject(size or 0, self._room(size))
        if incoming.file:
            self._open.add(incoming)
        try:
            yield incoming
        finally:
            if incoming not in self._kept.values():
                self._close(incoming)

    def keep(self, session: UUID, incoming: HeldObject, sha256: str) -> None:
        """Hold an object that has arrived for the `session` that is to be read from it."""
        if incoming.file is None:
            return
        incoming.sha256 = sha256
        self._expire(session, self._kept.get(session))
        self._kept[session] = incoming
        asyncio.get_running_loop().call_later(self._seconds, self._expire, session, incoming)

    @contextmanager
    def taken(self, session: UUID, sha256: str) -> Iterator[BinaryIO | None]:
        """Hand over what is held for a `session` of this hash, if anything; then it is gone."""
        held = self._kept.pop(session, None)
        try:
            yield held.file if held and held.sha256 == sha256 else None
        finally:
            if held:
                self._close(held)

    def _room(self, size: int | None) -> BinaryIO | None:
        """Open a file if the bounds allow it."""
        if (
            not size
            or size > self._max_object_bytes
            or self.bytes + size > self._max_bytes
            or self.files == MAX_FILES
        ):
            return None
        try:
            return temporary_file()
        except DiskFullError as error:
            _say_why(str(error))
            return None

    def _expire(self, session: UUID, held: HeldObject | None) -> None:
        if held and self._kept.get(session) is held:
            del self._kept[session]
            self._close(held)

    def _close(self, held: HeldObject) -> None:
        held.close()
        self._open.discard(held)


def _say_why(reason: str | None) -> None:
    log.warning("object_not_held", reason=reason)
