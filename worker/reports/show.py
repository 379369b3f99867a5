"""One session with all that is known of it; its statistics from the cache, or computed anew."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from worker.backend import rest
from worker.backend.cache_service import CacheService
from worker.backend.connection import Connection, connect
from worker.backend.metadata_service import SESSIONS, TECHNICAL
from worker.backend.object_store import ObjectStore
from worker.errors import HashMismatchError, SessionUnknownError, WorkerError
from worker.extraction.analytics import STATISTICS_VERSION
from worker.extraction.isolation import Isolation
from worker.settings import Settings

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Shown:
    """A session, its technical row and its channels' statistics, as far as there are any."""

    session: Mapping[str, Any]
    technical: Mapping[str, Any] | None
    statistics: Mapping[str, Any] | None
    said: str  # where the statistics come from, or why there are none


async def look_up(settings: Settings, session: UUID) -> Shown:
    """Read a session; statistics of another version are computed anew and kept.

    Raises:
        SessionUnknownError: there is no such session.
        UnavailableError: Supabase is in trouble.
    """
    async with connect(settings) as connection:
        found = await _row(connection, SESSIONS, "id", session)
        if found is None:
            raise SessionUnknownError(f"There is no session {session}.")
        technical = await _row(connection, TECHNICAL, "session_id", session)
        cache = CacheService(connection.supabase)
        statistics: Mapping[str, Any] | None = await cache.get(
            found["file_hash"], STATISTICS_VERSION
        )
        if statistics is not None:
            said = "from the cache"
        elif found["processing_status"] != "completed":
            said = "none before the session is completed"
        else:
            try:
                statistics = computed = await _computed(connection, settings, found)
            except WorkerError as error:
                said = f"none ({error.code}: {error})"
            else:
                await cache.put(found["file_hash"], computed)
                said = "computed anew and kept"
        # Read again: the hit is counted.
        found = await _row(connection, SESSIONS, "id", session) or found
    return Shown(found, technical, statistics, said)


async def _computed(
    connection: Connection, settings: Settings, session: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Read the recording as a worker would."""
    store = ObjectStore(connection, settings.c3d_bucket)
    path, size = session["file_path"], session["file_size_bytes"]
    seconds, megabytes = settings.extract_seconds, settings.extract_mb
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "recording").open("wb") as file:
        most = settings.max_file_mb * MEGABYTE
        measured = await store.fetch(path, file, size=size, max_bytes=most)
        if measured != session["file_hash"].lower():
            raise HashMismatchError(f"{path} has another content than its session says.")
        with closing(Isolation(seconds=seconds, megabytes=megabytes, children=1)) as isolation:
            extracted = await asyncio.to_thread(isolation.run, Path(folder) / "recording", path)
    return extracted.statistics


async def _row(connection: Connection, table: str, key: str, of: UUID) -> dict[str, Any] | None:
    rows = await rest.rows(connection.supabase.table(table).select("*").eq(key, str(of)))
    return rows[0] if rows else None
