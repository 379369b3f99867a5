"""Uploads as the worker handles them, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID


class Outcome(StrEnum):
    """What became of an upload."""

    WAITING = "waiting"  # to be taken in when it is due
    TAKING = "taking"  # a worker is downloading it
    SESSION = "session"
    DUPLICATE = "duplicate"  # its content has a session already
    SKIPPED = "skipped"  # not a recording: its session says so
    REFUSED = "refused"  # no session is possible
    SUPERSEDED = "superseded"  # overwritten before it was taken in
    GONE = "gone"  # deleted before it was taken in
    LOST = "lost"  # another worker has claimed it: nothing was changed


class Retakeable(StrEnum):
    """Which uploads can be taken in anew all together."""

    REFUSED = "refused"
    ALL = "all"  # that have an outcome


UNFINISHED = frozenset({Outcome.WAITING, Outcome.TAKING})


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """What became of an upload, and the session it is about."""

    outcome: Outcome
    session: UUID | None = None
    detail: str | None = None  # why it was refused, or what it waits for: "code: sentence"
    requeued: bool = False  # that session is read again
    patient_changed: bool = False  # it was moved to another patient's folder

    @property
    def is_to_be_read(self) -> bool:
        """Whether its session waits for phase 2 now."""
        return self.requeued or self.outcome is Outcome.SESSION


@dataclass(frozen=True, slots=True)
class ClaimedObject:
    """A version of an object that this worker has claimed, until its lease ends."""

    id: UUID
    claim: UUID
    version: str
    path: str
    size: int | None  # bytes, as Storage says
    attempt: int
    waited_for: str | None = None  # the code of what it was put off for last
    abandoned: bool = False  # hashing opens no file, so it is not what a worker dies of

    def fence(self) -> dict[str, Any]:
        """Return the arguments by which SQL knows that the claim is still this worker's."""
        return {"object": str(self.id), "version": self.version, "claim": str(self.claim)}


@dataclass(frozen=True, slots=True)
class IntakeBacklog:
    """Uploads without an outcome."""

    waiting: int
    due: int  # of those that wait
    taking: int  # by some worker

    @property
    def unfinished(self) -> int:
        """Those that wait and those that are being taken in."""
        return self.waiting + self.taking


@dataclass(frozen=True, slots=True)
class PathBefore:
    """Where an object lay before it was moved, and the patient that this path names."""

    path: str
    patient: str | None


@dataclass(frozen=True, slots=True)
class Measured:
    """An upload that was hashed, and what its path says."""

    upload: ClaimedObject
    sha256: str
    size: int  # bytes
    patient: str | None  # the code that the path names
    recording: bool  # else its session is skipped
    reserved_seconds: float = 0.0  # until other workers may claim the new session

    def argument(self, before: PathBefore | None = None) -> dict[str, Any]:
        """Return the element for this upload of the argument of `take_objects`."""
        return {
            **self.upload.fence(),
            "file_hash": self.sha256,
            "size_bytes": self.size,
            "patient": self.patient,
            "recording": self.recording,
            "reserved_seconds": self.reserved_seconds,
            "path_before": before.path if before else None,
            "patient_before": before.patient if before else None,
        }
