"""Whose a recording is: of a session, and of what is nobody's or may be somebody else's."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from supabase import AsyncClient

from worker.backend import rest
from worker.backend.metadata_service import SESSIONS

# Of upload_overview: the urgency of what a person has to decide, and a state.
URGENT, OF_ANOTHER = 1, "known already, and of another patient"


@dataclass(frozen=True, slots=True)
class Whose:
    """The patient of a session."""

    patient: str | None  # None: nobody's
    is_another: bool  # than the one asked about


@dataclass(frozen=True, slots=True)
class Orphan:
    """A session without a patient."""

    session_id: UUID
    file_path: str
    at: str | None  # when it was created, ISO 8601


@dataclass(frozen=True, slots=True)
class AnothersUpload:
    """An upload into one patient's folder, of bytes that are another's session."""

    file_path: str
    what_to_do: str  # "code: sentence", with both patients
    at: str  # ISO 8601


class Patients:
    """Asks whose something is; changes nothing."""

    def __init__(self, supabase: AsyncClient) -> None:
        """Bind to a client; nothing is sent yet."""
        self._supabase = supabase

    async def whose(self, session: UUID, code: str | None) -> Whose:
        """Return a session's patient, and whether that is another than the one of this code."""
        arguments = {"session": str(session), "code": code}
        found = await rest.rows(self._supabase.rpc("whose_session", arguments))
        if not found:  # it was deleted meanwhile
            return Whose(patient=None, is_another=False)
        return Whose(found[0]["patient"], found[0]["is_another"])

    async def orphans(self, most: int) -> list[Orphan]:
        """Return the sessions of recordings that have no patient, the newest first."""
        query = self._supabase.table(SESSIONS).select("id", "file_path", "created_at")
        query = query.is_("patient_id", "null").is_("patient_code", "null")
        query = query.neq("processing_status", "skipped")
        query = query.order("created_at", desc=True, nullsfirst=False).limit(most)
        return [
            Orphan(UUID(row["id"]), row["file_path"], row["created_at"])
            for row in await rest.rows(query)
        ]

    async def anothers_uploads(self, most: int) -> list[AnothersUpload]:
        """Return the uploads of bytes that are another patient's session, the newest first."""
        query = self._supabase.table("upload_overview")
        found = query.select("object_path", "what_to_do", "ended_at")
        found = found.eq("urgency", URGENT).eq("state", OF_ANOTHER)  # the first has an index
        return [
            AnothersUpload(row["object_path"], row["what_to_do"], row["ended_at"])
            for row in await rest.rows(found.order("ended_at", desc=True).limit(most))
        ]
