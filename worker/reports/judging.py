"""Channel statistics computed anew: for sessions read in another version, or not in full."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from worker.backend import rest
from worker.backend.cache_service import CacheService
from worker.backend.connection import Connection, connect
from worker.backend.metadata_service import SESSIONS
from worker.backend.object_store import ObjectStore
from worker.errors import HashMismatchError, UnavailableError, WorkerError
from worker.extraction.analytics import STATISTICS_VERSION
from worker.extraction.isolation import Extracted, Isolation, extract
from worker.settings import Settings

PAGE = 100  # sessions that are looked up at once
COLUMNS = "id,file_path,file_size_bytes,file_hash"
VERSION = "analytics_cache->channel_statistics->>version"


@dataclass(frozen=True, slots=True)
class Judged:
    """A session whose statistics were computed anew, or why they could not be."""

    session: str  # its id
    file_path: str
    error: WorkerError | None


async def judge_older(settings: Settings, limit: int) -> AsyncIterator[Judged]:
    """Compute the statistics of completed sessions that have none of this version.

    Ends when `limit` sessions have theirs, or none is left; those that fail are passed over.

    Raises:
        UnavailableError: Supabase is in trouble.
    """
    async with connect(settings) as connection:
        cache = CacheService(connection.supabase)
        last: str | None = None
        with reader(settings) as isolation:
            while limit > 0 and (page := await _older(connection, after=last)):
                for session in page:
                    last = session["id"]
                    error: WorkerError | None = None
                    try:
                        computed = await recompute(connection, settings, session, isolation)
                        await cache.put(session["file_hash"], computed)
                        limit -= 1
                    except UnavailableError:
                        raise
                    except WorkerError as caught:
                        error = caught
                    yield Judged(session["id"], session["file_path"], error)
                    if not limit:
                        break


async def recompute(
    connection: Connection, settings: Settings, session: Mapping[str, Any], isolation: Isolation
) -> Mapping[str, Any]:
    """Read a session's recording anew, and return its statistics; raises as `read_anew`."""
    return (await read_anew(connection, settings, session, isolation)).statistics


async def read_anew(
    connection: Connection, settings: Settings, session: Mapping[str, Any], isolation: Isolation
) -> Extracted:
    """Download and read a session's recording as a worker would.

    Raises:
        WorkerError: it cannot be downloaded or read, or is not what the session says.
    """
    store = ObjectStore(connection, settings.c3d_bucket)
    path, size = session["file_path"], session["file_size_bytes"]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "recording").open("wb") as file:
        max_bytes = settings.max_file_bytes
        measured = await store.fetch(path, file, size=size, max_bytes=max_bytes)
        if measured != session["file_hash"].lower():
            raise HashMismatchError(f"{path} has another content than its session says.")
        file.flush()
        return await asyncio.to_thread(isolation.run, Path(folder) / "recording", path)


def reader(settings: Settings, *, envelope: bool = False) -> AbstractContextManager[Isolation]:
    """Start a child that reads recordings, within the limits of the settings; see `extract`."""
    return closing(
        Isolation(
            seconds=settings.extract_seconds,
            megabytes=settings.extract_mb,
            children=1,
            read=partial(extract, envelope=envelope),
        )
    )


async def _older(connection: Connection, *, after: str | None) -> list[dict[str, Any]]:
    """Return completed sessions without statistics of this version, in the order of their ids."""
    query = (
        connection.supabase.table(SESSIONS)
        .select(COLUMNS)
        .eq("processing_status", "completed")
        .or_(f"{VERSION}.is.null,{VERSION}.neq.{STATISTICS_VERSION}")
    )
    if after:
        query = query.gt("id", after)
    return await rest.rows(query.order("id").limit(PAGE))
