"""The door for second tries: sessions that a person wants read again."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from supabase import AsyncClient

from worker.backend import rest


class Requeued(StrEnum):
    """What became of a session that a person wants tried again."""

    PENDING = "pending"
    REFUSED = "refused"  # completed (unless forced), in a worker's hand, or without a C3D
    MISSING = "missing"


class Requeueable(StrEnum):
    """Which sessions can be requeued all together."""

    FAILED = "failed"
    MIGRATED = "migrated"  # completed, with technical values of the old system


class Requeueing:
    """Requeues one session, or all of a kind in several calls."""

    def __init__(self, supabase: AsyncClient) -> None:
        """Bind to a client; nothing is sent yet."""
        self._supabase = supabase

    async def one(self, session: UUID, *, reason: str, force: bool) -> Requeued:
        """Have a failed session tried again; with `force` a completed one, too."""
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
        """Requeue the sessions of a kind that come next `after` an id; with `dry_run` count them.

        Returns:
            How many, and the last one's id; None: there are no more.
        """
        arguments = {
            "which": which,
            "reason": reason,
            "code": code,
            "after_session": str(after) if after else None,
            "dry_run": dry_run,
        }
        (row,) = await rest.rows(self._supabase.rpc("requeue_sessions", arguments))
        last = row["last_session"]
        return row["requeued"], UUID(last) if last else None
