"""A picture of a recording or a session, as a file of the wanted kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import UUID

from worker.backend import rest
from worker.backend.connection import Connection
from worker.backend.metadata_service import SESSIONS
from worker.drawing.canvas import Canvas
from worker.drawing.picture import draw
from worker.drawing.raster import Raster
from worker.drawing.vector import Vector
from worker.errors import SessionUnknownError
from worker.extraction.envelope import Envelope
from worker.extraction.isolation import Isolation
from worker.extraction.statistics import read_signals
from worker.reports.judging import read_anew
from worker.settings import Settings

KINDS: Mapping[str, Callable[[int, int], Canvas]] = {".png": Raster, ".svg": Vector}


def plotted_file(path: Path, ending: str) -> bytes:
    """Draw the C3D file at `path`; `ending` is one of KINDS.

    Raises:
        C3DError: the file is refused.
        OSError: the file cannot be read.
    """
    return plotted(read_signals(path, envelope=True).envelope, "Recording", ending)


async def plotted_session(
    connection: Connection, settings: Settings, session: UUID, isolation: Isolation, ending: str
) -> bytes:
    """Draw a session from its recording, read anew.

    Raises:
        SessionUnknownError: there is no such session.
        WorkerError: its recording cannot be downloaded or read.
    """
    query = connection.supabase.table(SESSIONS).select("*").eq("id", str(session))
    found = await rest.rows(query)
    if not found:
        raise SessionUnknownError(f"There is no session {session}.")
    extracted = await read_anew(connection, settings, found[0], isolation)
    return plotted(extracted.envelope, f"Session {session}", ending)


def plotted(envelope: Envelope | None, title: str, ending: str) -> bytes:
    """Draw what was read of a recording; the title names no person, as a file's name could."""
    return draw(envelope, title, KINDS[ending])
