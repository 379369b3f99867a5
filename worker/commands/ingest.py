"""`c3d-worker ingest`: uploads files and creates their sessions, with a progress bar."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.progress import Progress

from worker.backend import rest
from worker.backend.connection import connect
from worker.backend.metadata_service import TECHNICAL
from worker.commands.display import facts
from worker.commands.terminal import ingested, outline, sending
from worker.errors import PermanentError
from worker.extraction.errors import C3DError
from worker.intake.ingest import Ingest, make_ingest
from worker.reports.inspection import inspect_file
from worker.settings import Settings


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
        Whether all of them have a session, and with `wait` a completed one.

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
                session = await _bring(ingest, path, patient, bar)
                if session:
                    sessions[session] = path.name
                else:
                    well = False
        if wait:
            for session in sessions:
                well = await _finished(ingest, session, console) and well
    return well


def _is_c3d(path: Path, console: Console) -> bool:
    found = inspect_file(path).found
    if isinstance(found, C3DError):
        console.print(f"{path.name}: [red]{found.code}[/]: ", end="")
        console.print(str(found), markup=False, highlight=False)
    return not isinstance(found, C3DError)


async def _bring(ingest: Ingest, path: Path, patient: str | None, bar: Progress) -> UUID | None:
    task = bar.add_task(path.name, total=(await asyncio.to_thread(path.stat)).st_size)
    try:
        taken = await ingest.bring(path, patient, partial(bar.advance, task))
    except PermanentError as error:
        bar.console.print(f"{path.name}: {error.code}: {error}", markup=False, highlight=False)
        return None
    bar.remove_task(task)
    bar.console.print(ingested(path.name, taken), markup=False, highlight=False)
    return taken.session


async def _finished(ingest: Ingest, session: UUID, console: Console) -> bool:
    with console.status("waiting for a worker to read it"):
        row = await ingest.finished(session)
    console.print(facts("\ntherapy_sessions", outline(row)))
    query = ingest.connection.supabase.table(TECHNICAL).select("*")
    for technical in await rest.rows(query.eq("session_id", str(session))):
        console.print(facts("\nc3d_technical_data", technical))
    return row.get("processing_status") == "completed"
