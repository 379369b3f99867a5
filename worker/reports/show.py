"""One session with all its values; its statistics from the cache, or else computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from worker.backend import rest
from worker.backend.cache_service import CacheService
from worker.backend.connection import Connection, connect
from worker.backend.metadata_service import SESSIONS, TECHNICAL
from worker.backend.previews import PREVIEWS
from worker.errors import SessionUnknownError, WorkerError
from worker.extraction.analytics import STATISTICS_VERSION, with_sentences
from worker.reports.finding import find_session
from worker.reports.judging import reader, recompute
from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class Shown:
    """A session, its technical row and its channel statistics; None where one does not exist."""

    session: Mapping[str, Any]  # the row of `therapy_sessions`
    technical: Mapping[str, Any] | None  # the row of `c3d_technical_data`
    statistics: Mapping[str, Any] | None  # see `analytics`
    said: str  # where the statistics come from, or why there are none
    preview: str | None = None  # where its picture lies: the bucket, then the name

    def as_json(self) -> dict[str, Any]:
        """Return the object that `show --json` prints."""
        return {
            "session": dict(self.session),
            "technical": None if self.technical is None else dict(self.technical),
            "statistics": None if self.statistics is None else with_sentences(self.statistics),
            "statistics_are": self.said,
            "preview": self.preview,
        }


async def look_up(settings: Settings, said: str) -> Shown:
    """Read a session and its statistics; `said` is its id, its path or the name of its file.

    If the cache lacks the statistics of this version, they are computed from the recording and
    cached; where that fails, `Shown.said` says why.

    Raises:
        SessionUnknownError: there is no such session, or several.
        UnavailableError: Supabase is unavailable.
    """
    async with connect(settings) as connection:
        session = await find_session(connection, said, bucket=settings.c3d_bucket)
        found = await _row(connection, SESSIONS, "id", session)
        if found is None:
            raise SessionUnknownError(f"There is no session {session}.")
        technical = await _row(connection, TECHNICAL, "session_id", session)
        cache = CacheService(connection.supabase)
        statistics: Mapping[str, Any] | None = await cache.get(
            found["file_hash"], STATISTICS_VERSION
        )
        if statistics is not None:
            origin = "from the cache"
        elif found["processing_status"] != "completed":
            origin = "none before the session is completed"
        else:
            try:
                with reader(settings) as isolation:
                    statistics = computed = await recompute(connection, settings, found, isolation)
            except WorkerError as error:
                origin = f"none ({error.code}: {error})"
            else:
                await cache.put(found["file_hash"], computed)
                origin = "computed anew and kept"
        # Read again, because the cache hit was counted meanwhile.
        found = await _row(connection, SESSIONS, "id", session) or found
        preview = await _preview(connection, session)
    return Shown(found, technical, statistics, origin, preview)


async def _preview(connection: Connection, session: UUID) -> str | None:
    made = await _row(connection, "session_previews", "session_id", session)
    return f"{PREVIEWS}/{made['object_name']}" if made and made["made_at"] else None


async def _row(connection: Connection, table: str, key: str, of: UUID) -> dict[str, Any] | None:
    rows = await rest.rows(connection.supabase.table(table).select("*").eq(key, str(of)))
    return rows[0] if rows else None
