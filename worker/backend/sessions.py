"""Sessions as the worker handles them, and the outcomes of the SQL functions about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import Any
from uuid import UUID

VERSION = version("c3d-session-worker")


class Completion(StrEnum):
    """Outcome of completing a session."""

    COMPLETED = "completed"
    DUPLICATE = "duplicate"  # its content is another session's: failed, naming that one
    LOCKED = "locked"  # somebody else has locked its row for the moment: nothing was changed
    LOST = "lost"  # another worker has claimed it: nothing was changed


class Failure(StrEnum):
    """Outcome of reporting a session's error."""

    FAILED = "failed"
    PENDING = "pending"  # there is a next attempt
    SET_ASIDE = "set_aside"  # its row refuses to be changed, so nothing can be written on it
    LOCKED = "locked"  # somebody else has locked its row for the moment: nothing was changed
    LOST = "lost"  # another worker has claimed it: nothing was changed


@dataclass(frozen=True, slots=True)
class NewSession:
    """What phase 1 knows about an uploaded file; it has no technical values."""

    file_path: str
    file_hash: str
    file_size_bytes: int
    original_filename: str
    patient: str | None = None  # the patient's code
    status: str = "pending"  # or `skipped`, where there is no C3D to read
    measured: bool = False  # file_hash is that of the content, beyond doubt

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `create_session`."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class KnownSession:
    """A session that already has a content which was uploaded again."""

    id: UUID
    file_path: str
    status: str
    taken_in: bool  # whether its own upload was taken in before


@dataclass(frozen=True, slots=True)
class ClaimedSession:
    """A session that this worker has claimed, until its lease ends."""

    id: UUID
    claim: UUID
    file_path: str
    object_path: str  # in the bucket
    file_hash: str
    hash_measured: bool  # by a worker; another program may have written anything
    file_size_bytes: int
    attempt: int
    abandoned: bool  # its last lease ran out: it may be what its worker died of

    def fence(self) -> dict[str, Any]:
        """Return the arguments by which SQL knows that the claim is still this worker's."""
        return {"session": str(self.id), "claim": str(self.claim)}


@dataclass(frozen=True, slots=True)
class Finished:
    """A session whose recording was read, and its values."""

    session: ClaimedSession
    technical: Mapping[str, Any]  # the eight columns of `c3d_technical_data`
    content_hash: str | None  # the measured SHA-256; None: only the file's start was read
    game: Mapping[str, Any]  # adds the keys that are missing in `game_metadata`
    statistics: Mapping[str, Any] | None = None  # of the channels, at most 64 KB
    preview_after_seconds: float | None = None  # then another may make its picture; None: nobody

    def argument(self) -> dict[str, Any]:
        """Return the element for this session of the argument of `complete_sessions`."""
        return {
            **self.session.fence(),
            "technical": dict(self.technical),
            "content_hash": self.content_hash,
            "game": dict(self.game),
            "statistics": None if self.statistics is None else dict(self.statistics),
            "preview_after_seconds": self.preview_after_seconds,
            "version": VERSION,
        }
