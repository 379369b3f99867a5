"""Client of the queue for requeueing: sessions that a person wants to be read again."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from supabase import AsyncClient

from worker.backend import rest


class Requeued(StrEnum):
    """Outcome of requeueing a session."""

    PENDING = "pending"
    REFUSED = "refused"  # it is processing or skipped, or completed and `force` was not given
    MISSING = "missing"  # there is no such session
    LOCKED = "locked"  # somebody else has locked its row: nothing was changed


class Requeueable(StrEnum):
    """Which sessions can be requeued all at once."""

    FAILED = "failed"
    MIGRATED = "migrated"  # completed, with technical values of the old system


class Requeueing:
    """Requeues one session, or all of a kind in several calls."""

    def __init__(self, supabase: AsyncClient) -> None:
        """`supabase` is the client of the project that has the sessions."""
        self._supabase = supabase

    async def one(self, session: UUID, *, reason: str, force: bool) -> Requeued:
        """Requeue a failed session, with `force` a completed one too; raises as `rest.rows`."""
        arguments = {"session": str(session), "reason": reason, "force": force}
        query = self._supabase.rpc("requeue_session", arguments)
        return await rest.word(query, among=Requeued)

    async def some(
        self,
        which: Requeueable,
        *,
        reason: str,
        code: str | None,
        after: UUID | None,
        dry_run: bool,
    ) -> tuple[int, UUID | None]:
        """Requeue the next sessions of a kind, or with `dry_run` count them; raises as `rest.rows`.

        Args:
            which: the kind.
            reason: kept with each session.
            code: only failed sessions with this error code; None: with any.
            after: the last id of the previous call; None for the first call.
            dry_run: change nothing.

        Returns:
            How many sessions, and the id of the last one; None: there are no more.
        """
        arguments = {
            "which": which,
            "reason": reason,
            "code": code,
            "after_session": str(after) if after else None,
            "dry_run": dry_run,
        }
        row = await rest.row(self._supabase.rpc("requeue_sessions", arguments))
        last = row["last_session"]
        return row["requeued"], UUID(last) if last else None
