"""`storage_intake`: which upload was taken in, and what became of it.

An upload is taken in under a reservation that runs out, so that workers beside each other do not
download the same object, and one that dies holds nothing for long.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from supabase import AsyncClient

from worker.backend import rest

INTAKE = "storage_intake"


class Outcome(StrEnum):
    """What became of an upload."""

    SESSION = "session"
    DUPLICATE = "duplicate"  # its content has a session already
    SKIPPED = "skipped"  # no recording: its session says so
    REFUSED = "refused"  # no session is possible
    TAKING = "taking"  # another worker has it in hand


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """An upload that was taken in."""

    outcome: Outcome
    session: UUID | None = None
    detail: str | None = None  # why it was refused: "code: sentence"


@dataclass(frozen=True, slots=True)
class ClaimedObject:
    """A version of an object in this worker's hand."""

    id: UUID
    version: str
    path: str
    size: int | None  # bytes, as Storage says


@dataclass(frozen=True, slots=True)
class IntakeBacklog:
    """Objects of the bucket without an outcome."""

    waiting: int
    held: int  # in some worker's hand


class IntakeRegister:
    """Reserves uploads and keeps their outcomes."""

    def __init__(
        self, supabase: AsyncClient, bucket: str, *, lease_seconds: int, every_file: bool
    ) -> None:
        """Bind to the uploads of `bucket`: the `.c3d` files, or every file."""
        self._supabase = supabase
        self.bucket = bucket
        self.lease_seconds = lease_seconds
        self.every_file = every_file

    async def claim(self, after: str) -> ClaimedObject | None:
        """Reserve the first object whose name comes `after` and that nobody has taken in."""
        return await self._claim({"after_name": after})

    async def claim_one(self, object_id: UUID) -> ClaimedObject | None:
        """Reserve the current version of an object, unless it is taken, reserved or not there."""
        return await self._claim({"only_object": str(object_id)})

    async def hold(self, held: ClaimedObject, seconds: int) -> None:
        """Let the reservation end in so many seconds."""
        arguments = {
            "object": str(held.id),
            "version": held.version,
            "lease_seconds": seconds,
        }
        await rest.value(self._supabase.rpc("extend_object_lease", arguments))

    async def release(self, held: ClaimedObject) -> None:
        """Give the object back, as if nobody had looked at it."""
        reserved = self._supabase.table(INTAKE).delete().eq("object_id", str(held.id))
        reserved = reserved.eq("version", held.version).eq("outcome", Outcome.TAKING)
        await rest.rows(reserved)

    async def record(self, held: ClaimedObject, taken: IntakeResult) -> Outcome:
        """Write what became of the object, once; return what is written."""
        arguments = {
            "object": str(held.id),
            "version": held.version,
            "object_path": held.path,
            "outcome": taken.outcome,
            "session": str(taken.session) if taken.session else None,
            "detail": taken.detail,
        }
        return await rest.word(self._supabase.rpc("record_intake", arguments), among=Outcome)

    async def outcome(self, object_id: UUID) -> IntakeResult | None:
        """What became of the object's last version, if anybody has looked at it."""
        rows = self._supabase.table(INTAKE).select("outcome", "session_id", "detail")
        rows = rows.eq("object_id", str(object_id)).order("taken_at", desc=True).limit(1)
        found = await rest.rows(rows)
        if not found:
            return None
        session = found[0]["session_id"]
        return IntakeResult(
            Outcome(found[0]["outcome"]), UUID(session) if session else None, found[0]["detail"]
        )

    async def left(self) -> IntakeBacklog:
        """Count the objects that wait, and those in some worker's hand."""
        arguments = {"bucket": self.bucket, "every_file": self.every_file}
        (row,) = await rest.rows(self._supabase.rpc("count_pending_objects", arguments))
        return IntakeBacklog(row["waiting"], row["held"])

    async def _claim(self, which: dict[str, Any]) -> ClaimedObject | None:
        arguments = {
            "bucket": self.bucket,
            "batch_size": 1,
            "lease_seconds": self.lease_seconds,
            "every_file": self.every_file,
            **which,
        }
        found = await rest.rows(self._supabase.rpc("claim_objects", arguments))
        if not found:
            return None
        row = found[0]
        return ClaimedObject(
            UUID(row["object_id"]), row["version"], row["object_path"], row["size_bytes"]
        )
