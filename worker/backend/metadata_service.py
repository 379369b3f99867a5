"""The door to `therapy_sessions` and `c3d_technical_data`: creation in two steps.

Phase 1 creates the session, phase 2 claims it and gives it its technical row. Every state
changes in one SQL function, which is safe to call again after a reply was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from supabase import AsyncClient

from worker.backend import rest
from worker.errors import AlreadyThereError, WorkerError

SESSIONS, TECHNICAL = "therapy_sessions", "c3d_technical_data"


class Completion(StrEnum):
    """What became of a session whose technical row was handed in."""

    COMPLETED = "completed"
    DUPLICATE = "duplicate"  # its content is another session's: failed, naming that one
    LOST = "lost"  # no longer in this worker's hand: nothing was changed


class Failure(StrEnum):
    """What became of a session whose error was handed in."""

    FAILED = "failed"
    PENDING = "pending"  # it will be tried again
    LOST = "lost"  # no longer in this worker's hand: nothing was changed


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


class Adoption(StrEnum):
    """What became of a session whose content was uploaded again."""

    REQUEUED = "requeued"  # it had failed for want of it
    ADOPTED = "adopted"  # its own object was gone
    KEPT = "kept"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class ClaimedSession:
    """A session in this worker's hand, until its lease ends."""

    id: UUID
    claim: UUID
    file_path: str
    file_hash: str
    file_size_bytes: int
    attempt: int
    abandoned: bool  # its last lease ran out: it may be what its worker died of


class MetadataService:
    """Creates sessions, and moves them through their states."""

    def __init__(self, supabase: AsyncClient) -> None:
        """Bind to a client; nothing is sent yet."""
        self._supabase = supabase

    async def check(self) -> None:
        """Ask for both tables and one of the queue's functions; changes nothing.

        Raises:
            MigrationMissingError, KeyRefusedError, UnavailableError: as their names say.
        """
        for table, key in ((SESSIONS, "processing_lease"), (TECHNICAL, "session_id")):
            await rest.rows(self._supabase.table(table).select(key).limit(1))
        await self.extend([], lease_seconds=1)

    # --- phase 1 ------------------------------------------------------------------------------

    async def create_session(self, new: NewSession) -> tuple[UUID, bool]:
        """Create the session of a file; its content's hash makes it unique.

        Returns:
            The session's id, and whether it was created now: a hash that is known already,
            or a call repeated after a lost reply, gives the id of the session that is there.

        Raises:
            RejectedError: the database refuses the values.
            UnavailableError: Supabase is in trouble.
        """
        table = self._supabase.table(SESSIONS)
        try:
            created = await rest.rows(table.insert(new.row()))
            return UUID(created[0]["id"]), True
        except AlreadyThereError:
            known = await rest.rows(table.select("id").eq("file_hash", new.file_hash))
            if not known:  # deleted in between, or unique for another reason
                raise
            return UUID(known[0]["id"]), False

    async def known(self, file_hash: str, file_path: str) -> KnownSession | None:
        """Look for the session that holds a content; one of the old system is known by its path."""
        arguments = {"file_hash": file_hash, "file_path": file_path}
        found = await rest.rows(self._supabase.rpc("known_session", arguments))
        if not found:
            return None
        row = found[0]
        session = UUID(row["session_id"])
        return KnownSession(session, row["session_path"], row["status"], row["taken_in"])

    async def adopt(self, session: UUID, bucket: str, path: str, *, size: int) -> Adoption:
        """Point a session to another upload of its content, where its own does not serve.

        One that failed because its object was missing or changed is read anew.
        """
        arguments = {
            "session": str(session),
            "bucket": bucket,
            "object_path": path,
            "size_bytes": size,
        }
        return await rest.word(self._supabase.rpc("adopt_object", arguments), among=Adoption)

    # --- phase 2 ------------------------------------------------------------------------------

    async def claim(
        self, claim: UUID, *, most: int, lease_seconds: int, max_attempts: int
    ) -> list[ClaimedSession]:
        """Take up to `most` sessions that are due, for `lease_seconds`.

        Called again with the same `claim`, it returns the sessions of the first call.
        """
        arguments = {
            "claim": str(claim),
            "batch_size": most,
            "lease_seconds": lease_seconds,
            "max_attempts": max_attempts,
        }
        return [
            ClaimedSession(
                id=UUID(row["id"]),
                claim=claim,
                file_path=row["file_path"],
                file_hash=row["file_hash"],
                file_size_bytes=row["file_size_bytes"],
                attempt=row["processing_attempts"],
                abandoned=row["abandoned"],
            )
            for row in await rest.rows(self._supabase.rpc("claim_sessions", arguments))
        ]

    async def complete(
        self,
        session: ClaimedSession,
        *,
        technical: Mapping[str, Any],
        content_hash: str,
        game: Mapping[str, Any],
        statistics: Mapping[str, Any] | None = None,
    ) -> Completion:
        """Write the technical row and the status in one transaction.

        Args:
            session: a session in this worker's hand.
            technical: the eight columns of `c3d_technical_data`.
            content_hash: the measured SHA-256; it replaces a legacy hash of something else.
            game: what the file says of the game; it fills gaps in `game_metadata`.
            statistics: the channels' statistics, 64 KB at most, for `analytics_cache`.
        """
        arguments = {
            **_held(session),
            "technical": dict(technical),
            "content_hash": content_hash,
            "game": dict(game),
            "statistics": None if statistics is None else dict(statistics),
        }
        query = self._supabase.rpc("complete_session", arguments)
        return await rest.word(query, among=Completion)

    async def fail(
        self,
        session: ClaimedSession,
        error: WorkerError,
        *,
        max_attempts: int,
        retry_seconds: float | None = None,
    ) -> Failure:
        """Record what is wrong with the session; with `retry_seconds` it is tried again."""
        arguments = {
            **_held(session),
            "code": error.code,
            "message": str(error),
            "max_attempts": max_attempts,
            "retry_seconds": retry_seconds,
        }
        query = self._supabase.rpc("fail_session", arguments)
        return await rest.word(query, among=Failure)

    async def release(
        self, sessions: Iterable[ClaimedSession], *, delay_seconds: float = 0
    ) -> set[UUID]:
        """Give sessions back untried: pending, due after a delay, the attempt not counted."""
        arguments = {**_all_held(sessions), "delay_seconds": delay_seconds}
        query = self._supabase.rpc("release_sessions", arguments)
        return {UUID(released) for released in await rest.scalars(query)}

    async def extend(self, sessions: Iterable[ClaimedSession], *, lease_seconds: int) -> set[UUID]:
        """Renew the leases of `sessions`; those missing from the answer are lost."""
        arguments = {**_all_held(sessions), "lease_seconds": lease_seconds}
        query = self._supabase.rpc("extend_lease", arguments)
        return {UUID(held) for held in await rest.scalars(query)}


def _held(session: ClaimedSession) -> dict[str, Any]:
    return {"session": str(session.id), "claim": str(session.claim)}


def _all_held(sessions: Iterable[ClaimedSession]) -> dict[str, Any]:
    held = list(sessions)
    return {
        "claims": sorted({str(session.claim) for session in held}),
        "sessions": [str(session.id) for session in held],
    }
