"""`c3d-worker ingest`: uploads files and creates their sessions, with a progress bar."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.progress import Progress

from worker.backend import rest
from worker.backend.connection import connect
from worker.backend.metadata_service import TECHNICAL
from worker.commands.display import facts
from worker.commands.terminal import finished, ingested, outline, refusal, sending, tell
from worker.errors import PermanentError
from worker.extraction.errors import C3DError
from worker.intake.ingest import Ingest, make_ingest
from worker.reports.inspection import inspect_file
from worker.settings import Settings

WAITING = "waiting for a worker to read it (`c3d-worker run`); Ctrl-C stops waiting"


async def ingest_files(
    files: Sequence[Path],
    settings: Settings,
    console: Console,
    patient: str | None,
    *,
    force: bool,
    wait: bool,
) -> bool:
    """Upload every file, create its session, and print the outcome of each.

    Args:
        files: the recordings.
        settings: of the project.
        console: where to print.
        patient: the patient's code, which becomes the folder; None: no folder.
        force: upload files that are not complete C3D recordings, too.
        wait: wait until a worker has processed the sessions, and print their rows.

    Returns:
        Whether all of them have a session, none of another patient, and with `wait` a completed
        one.

    Raises:
        UnavailableError: Supabase is unavailable; the remaining files were not uploaded.
        SettingError: PATIENT_ID_PATTERN would not find the patient in the path.
        OSError: a file cannot be read.
    """
    good = [path for path in files if force or _is_c3d(path, console)]
    well = len(good) == len(files)
    sessions: dict[UUID, str] = {}
    async with connect(settings) as connection:
        ingest = make_ingest(connection, settings)
        with sending(console) as bar:
            for path in good:
                session, right = await _bring(ingest, path, patient, bar)
                well = well and right
                if session:
                    sessions[session] = path.name
        if wait:
            well = await _awaited(ingest, sessions, console) and well
    return well


def _is_c3d(path: Path, console: Console) -> bool:
    found = inspect_file(path).found
    if isinstance(found, C3DError):
        tell(console, refusal(path.name, found))
    return not isinstance(found, C3DError)


async def _bring(
    ingest: Ingest, path: Path, patient: str | None, bar: Progress
) -> tuple[UUID | None, bool]:
    """Return the file's session, and whether that is as it should be."""
    task = bar.add_task(path.name, total=(await asyncio.to_thread(path.stat)).st_size)
    try:
        taken = await ingest.bring(path, patient, partial(bar.advance, task))
    except PermanentError as error:
        tell(bar.console, refusal(path.name, error))
        return None, False
    finally:
        bar.remove_task(task)
    whose = await ingest.whose(taken, patient)
    tell(bar.console, ingested(path.name, taken, whose, patient))
    return taken.session, whose is not None and not whose.is_another


async def _awaited(ingest: Ingest, sessions: Mapping[UUID, str], console: Console) -> bool:
    """Print what the workers read: of one file the rows, of several a line each and their sum."""
    statuses = Counter[str]()
    for session, name in sessions.items():
        with console.status(WAITING):
            row = await ingest.finished(session)
        technical = await _technical(ingest, session)
        statuses[row.get("processing_status") or "deleted"] += 1
        if len(sessions) > 1:
            tell(console, finished(name, row, technical))
            continue
        console.print(facts("\ntherapy_sessions", outline(row)))
        if technical:
            console.print(facts("\nc3d_technical_data", technical))
    if len(sessions) > 1:
        parts = (f"{number:,} {status}" for status, number in statuses.most_common())
        console.print(f"{len(sessions):,} sessions: {', '.join(parts)}.", highlight=False)
    return set(statuses) <= {"completed"}


async def _technical(ingest: Ingest, session: UUID) -> Mapping[str, Any] | None:
    query = ingest.connection.supabase.table(TECHNICAL).select("*")
    found = await rest.rows(query.eq("session_id", str(session)))
    return found[0] if found else None
