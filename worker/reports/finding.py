"""Which session somebody means: by its id, or by the name or path of its file."""

from __future__ import annotations

from uuid import UUID

from worker.backend import rest
from worker.backend.connection import Connection
from worker.backend.metadata_service import SESSIONS
from worker.errors import SessionUnknownError

SHOWN = 5  # sessions of one name that are listed


async def find_session(connection: Connection, said: str, *, bucket: str) -> UUID:
    """Return the one session of that id, path (with or without the bucket) or file name.

    Raises:
        SessionUnknownError: there is none, or several; the sentence lists the newest.
        UnavailableError: Supabase is unavailable.
    """
    try:
        return UUID(said)
    except ValueError:
        pass
    inside = said.removeprefix(f"{bucket}/")
    for column, value in (
        ("file_path", inside),
        ("file_path", f"{bucket}/{inside}"),
        ("original_filename", said),
    ):
        query = connection.supabase.table(SESSIONS).select("id").eq(column, value)
        found = await rest.rows(query.order("created_at", desc=True).limit(SHOWN + 1))
        if len(found) == 1:
            return UUID(found[0]["id"])
        if found:
            more = " and more" if len(found) > SHOWN else ""
            ids = ", ".join(row["id"] for row in found[:SHOWN])
            raise SessionUnknownError(f"Several sessions are called {said!r}: {ids}{more}.")
    raise SessionUnknownError(f"There is no session {said!r}: give its id, path or file name.")
