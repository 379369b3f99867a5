"""`therapy_sessions` and `c3d_technical_data`: phase 1 creates a session, phase 2 completes it.

Every state changes in one SQL function, which is safe to call again after a reply was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from supabase import AsyncClient

from worker.backend import rest
from worker.backend.horizon import Horizon
from worker.backend.refusals import refusal_of
from worker.backend.sessions import (
    ClaimedSession,
    Completion,
    Failure,
    Finished,
    KnownSession,
    NewSession,
)
from worker.errors import (
    RejectedError,
    RowRefusedError,
    UnavailableError,
    WorkerError,
)

SESSIONS, TECHNICAL = "therapy_sessions", "c3d_technical_data"


class MetadataService:
    """Creates sessions, and moves them through their states."""

    def __init__(self, supabase: AsyncClient) -> None:
        """`supabase` has the service key: nothing here is granted to anybody else."""
        self._supabase = supabase

    async def check(self) -> None:
        """Ask for both tables and their functions; changes nothing.

        Raises:
            MigrationMissingError, KeyRefusedError, UnavailableError: as their names say.
        """
        for table, key in ((SESSIONS, "processing_claim"), (TECHNICAL, "session_id")):
            await rest.rows(self._supabase.table(table).select(key).limit(1))
        await self.extend([], lease_seconds=1)
        await self.complete_many([])

    async def ring_probe(self) -> int:
        """Insert a probe that whoever listens to Realtime should hear, and return its id."""
        return int(await rest.value(self._supabase.rpc("ring_probe", {})))

    # --- phase 1 ------------------------------------------------------------------------------

    async def create_session(self, new: NewSession) -> tuple[UUID, bool]:
        """Create the session of a file; its content's hash makes it unique.

        Returns:
            The session's id, and whether it was created now: a hash that is known already,
            or a call repeated after a lost reply, gives the id of the session that is there.

        Raises:
            PatientUnknownError, PathHeldError, SchemaRefusesError: the table does not take it.
            UnavailableError: Supabase is in trouble.
        """
        row = await rest.row(self._supabase.rpc("create_session", new.arguments()))
        if refusal := refusal_of(row):
            raise refusal
        return UUID(row["session_id"]), row["created"]

    async def find_session(
        self, file_hash: str, file_path: str, bucket: str
    ) -> KnownSession | None:
        """Find the session that holds a content; one of another program is found by its path."""
        arguments = {"file_hash": file_hash, "file_path": file_path, "bucket": bucket}
        found = await rest.rows(self._supabase.rpc("find_session", arguments))
        if not found:
            return None
        row = found[0]
        session = UUID(row["session_id"])
        return KnownSession(session, row["session_path"], row["status"], row["taken_in"])

    async def name_file(self, session: UUID, name: str) -> None:
        """Tell the session the name that its file had before it became the key of an object."""
        query = self._supabase.table(SESSIONS).update({"original_filename": name})
        with suppress(RejectedError):  # a rule of the table wants another name than that
            await rest.rows(query.eq("id", str(session)))

    # --- phase 2 ------------------------------------------------------------------------------

    async def claim(
        self,
        claim: UUID,
        *,
        limit: int,
        lease_seconds: int,
        max_attempts: int,
        with_abandoned: bool = True,
        bucket: str | None = None,
        held: Sequence[UUID] = (),
        horizon: Horizon | None = None,
    ) -> list[ClaimedSession]:
        """Claim up to `limit` sessions that are due, and one abandoned session more if wanted.

        Those of `held` come before the others. Called again with the same `claim`, it returns the
        sessions of the first call. It looks no further back than the `horizon`, and moves it.
        """
        arguments = {
            "claim": str(claim),
            "batch_size": limit,
            "lease_seconds": lease_seconds,
            "max_attempts": max_attempts,
            "with_abandoned": with_abandoned,
            "bucket": bucket,
            "held": [str(session) for session in held],
            **(horizon.arguments() if horizon else {}),
        }
        found = await rest.rows(self._supabase.rpc("claim_sessions", arguments))
        if horizon and found and found[-1]["id"] is None:
            horizon.move(found.pop())
        return [
            ClaimedSession(
                id=UUID(row["id"]),
                claim=claim,
                file_path=row["file_path"],
                object_path=row["object_path"],
                file_hash=row["file_hash"],
                hash_measured=row["hash_measured"],
                file_size_bytes=row["file_size_bytes"],
                attempt=row["processing_attempts"],
                abandoned=row["abandoned"],
            )
            for row in found
        ]

    async def complete_many(self, finished: Sequence[Finished]) -> list[Completion | WorkerError]:
        """Write technical rows and statuses, all in one transaction, in one call.

        Returns:
            What became of each, in the order given; values that the database refused, and a row
            that refuses to be changed, cost their session only.
        """
        arguments = {"completions": [each.argument() for each in finished]}
        query = self._supabase.rpc("complete_sessions", arguments)
        outcomes = {row["session"]: _outcome(row) for row in await rest.rows(query)}
        try:
            return [outcomes[str(each.session.id)] for each in finished]
        except KeyError:
            raise UnavailableError("Supabase left out a session that was completed.") from None

    async def find_copy(self, session: ClaimedSession, bucket: str) -> str | None:
        """Point a session whose object is gone or changed to a copy; return its path, if any."""
        arguments = {**session.fence(), "bucket": bucket, "read_path": session.object_path}
        found = await rest.value(self._supabase.rpc("find_copy", arguments))
        return str(found) if found else None

    async def fail(
        self,
        session: ClaimedSession,
        error: WorkerError,
        *,
        max_attempts: int,
        retry_seconds: float | None = None,
    ) -> Failure:
        """Record what is wrong with the session; with `retry_seconds` there is a next attempt."""
        arguments = {
            **session.fence(),
            "code": error.code,
            "message": error.told.removeprefix(f"{error.code}: "),
            "max_attempts": max_attempts,
            "retry_seconds": retry_seconds,
        }
        return await rest.word(self._supabase.rpc("fail_session", arguments), among=Failure)

    async def release(
        self,
        sessions: Iterable[ClaimedSession],
        reason: WorkerError | None = None,
        *,
        delay_seconds: float = 0,
    ) -> set[UUID]:
        """Give sessions back with what they wait for: pending, the attempt not counted."""
        arguments = {
            **_fences(sessions),
            "delay_seconds": delay_seconds,
            "reason": reason.told if reason else None,
        }
        query = self._supabase.rpc("release_sessions", arguments)
        return {UUID(released) for released in await rest.scalars(query)}

    async def extend(
        self, sessions: Iterable[ClaimedSession], *, lease_seconds: int
    ) -> dict[UUID, bool]:
        """Extend the leases of the sessions that are processing.

        Returns:
            The sessions whose claim is still this worker's, those it has ended just now included;
            and whether the lease was extended, which it is not while somebody else has locked
            the row.
        """
        arguments = {**_fences(sessions), "lease_seconds": lease_seconds}
        kept = await rest.rows(self._supabase.rpc("extend_lease", arguments))
        return {UUID(row["session"]): row["extended"] for row in kept}


def _outcome(row: Mapping[str, Any]) -> Completion | WorkerError:
    if row["outcome"] == "rejected":
        return RejectedError(f"The database refused the values: {row['refusal']}.")
    if row["outcome"] == "refused":
        return RowRefusedError(
            "A rule of therapy_sessions refuses to complete the session.", said=row["refusal"]
        )
    try:
        return Completion(row["outcome"])
    except ValueError:
        raise UnavailableError("Supabase answered an unknown outcome.") from None


def _fences(sessions: Iterable[ClaimedSession]) -> dict[str, Any]:
    claimed = list(sessions)
    return {
        "claims": sorted({str(session.claim) for session in claimed}),
        "sessions": [str(session.id) for session in claimed],
    }
