"""Sessions as the worker sees them on their way, and what can become of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID


class Completion(StrEnum):
    """What became of a session whose technical row was handed in."""

    COMPLETED = "completed"
    DUPLICATE = "duplicate"  # its content is another session's: failed, naming that one
    LOST = "lost"  # another worker has claimed it: nothing was changed


class Failure(StrEnum):
    """What became of a session whose error was handed in."""

    FAILED = "failed"
    PENDING = "pending"  # there is a next attempt
    LOST = "lost"  # another worker has claimed it: nothing was changed


@dataclass(frozen=True, slots=True)
class NewSession:
    """What phase 1 knows of an uploaded file: no technical value, nothing invented."""

    file_path: str
    file_hash: str
    file_size_bytes: int
    original_filename: str
    patient_id: str | None = None
    processing_status: str = "pending"  # or `skipped`, where there is no C3D to read

    def row(self) -> dict[str, Any]:
        """The columns of `therapy_sessions`; the others have their defaults."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class KnownSession:
    """The session that holds a content already."""

    id: UUID
    file_path: str
    status: str
    taken_in: bool  # an upload of it was taken in before


class Relinked(StrEnum):
    """What became of a session whose content was uploaded again."""

    REQUEUED = "requeued"  # it had failed for want of it
    RELINKED = "relinked"  # its own object was gone
    KEPT = "kept"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class ClaimedSession:
    """A session that this worker has claimed, until its lease ends."""

    id: UUID
    claim: UUID
    file_path: str
    file_hash: str
    file_size_bytes: int
    attempt: int
    abandoned: bool  # its last lease ran out: it may be what its worker died of

    def fence(self) -> dict[str, Any]:
        """Return the arguments by which SQL knows that the claim is still this worker's."""
        return {"session": str(self.id), "claim": str(self.claim)}


@dataclass(frozen=True, slots=True)
class Finished:
    """A session whose recording was read, and what it says."""

    session: ClaimedSession
    technical: Mapping[str, Any]  # the eight columns of `c3d_technical_data`
    content_hash: str | None  # the measured SHA-256; None: only the file's start was read
    game: Mapping[str, Any]  # what the file says of the game; it fills gaps in `game_metadata`
    statistics: Mapping[str, Any] | None = None  # of the channels, 64 KB at most

    def argument(self) -> dict[str, Any]:
        """Return an element of what `complete_sessions` takes."""
        return {
            **self.session.fence(),
            "technical": dict(self.technical),
            "content_hash": self.content_hash,
            "game": dict(self.game),
            "statistics": None if self.statistics is None else dict(self.statistics),
        }
