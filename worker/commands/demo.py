"""`c3d-worker demo`: one recording from upload to technical row, each step with its time."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console

from worker.backend import rest
from worker.backend.connection import Connection
from worker.backend.metadata_service import TECHNICAL
from worker.backend.previews import PREVIEWS
from worker.commands.display import facts
from worker.extraction.errors import C3DError
from worker.intake.ingest import object_name
from worker.local.migrated import connected, migrate
from worker.local.packages import ensure_installed
from worker.local.recordings import ghostly_recording
from worker.local.stack import Ports, StackInfo, local_stack
from worker.local.worker_process import WorkerProcess, worker_process
from worker.reports.inspection import Inspected, inspect_file
from worker.settings import DEFAULT_BUCKET

PATIENT = "P005"
RECORDING = "Ghostly_Emg_demo.c3d"
STEPS = {
    "upload_heard": "upload heard over Realtime: no webhook, no open port",
    "object_taken": "object streamed and hashed: a new session, pending",
    "insert_heard": "insert heard over Realtime",
    "session_claimed": "session claimed",
    "downloaded": "object streamed, its size and hash are the session's",
    "read": "channels and rates read",
    "preview_made": "picture: c3d-previews/{session}.png",
    "session_done": "technical row written, session completed",
}
NOT_COMPLETED = "session {outcome}, no technical row: session_overview says why"


@dataclass(frozen=True, slots=True)
class Narrator:
    """Prints one line per step, with the seconds since `began`."""

    console: Console
    began: float  # seconds since 1970, like the timestamps of the worker's log

    def tell(self, step: str, at: float | None = None) -> None:
        """Print `step`, done at `at` (seconds since 1970; None: now)."""
        seconds = (time.time() if at is None else at) - self.began
        self.console.print(f"[cyan]{seconds:8.3f} s[/]  {step}", highlight=False)


async def demo(file: Path | None, project: Path, console: Console) -> bool:
    """Process one recording from upload to technical row, on a local stack of its own.

    Args:
        file: the recording; None for a generated one like those of GHOSTLY.
        project: the folder that contains `supabase/`.
        console: where to print the steps.

    Returns:
        Whether the row in the database equals what `inspect` reads from the file.

    Raises:
        StackError: the local stack cannot be installed or started, or the worker ended.
    """
    with tempfile.TemporaryDirectory(prefix="c3d-demo-") as folder:
        recording = file or _generated(Path(folder))
        setup = Narrator(console, time.time())
        packages = ensure_installed(setup.tell)
        setup.tell("local stack packages are there")
        async with local_stack(Path(folder) / "stack", Ports(0, 0), lambda _: None) as stack:
            setup.tell("local stack is up: PostgreSQL, PostgREST, Storage, Realtime")
            await migrate(stack, project, packages)
            setup.tell("migrations applied with `supabase db push`")
            async with worker_process(stack, Path(folder)) as worker:
                await worker.until("realtime_ready")
                setup.tell("worker runs as its own process and listens")
                inspected = inspect_file(recording)
                session = await _followed(inspected, stack, worker, console)
                return await _shown(session, inspected, stack, worker, console)


def _generated(folder: Path) -> Path:
    path = folder / RECORDING
    path.write_bytes(ghostly_recording(lossy=True))
    return path


async def _followed(
    inspected: Inspected, stack: StackInfo, worker: WorkerProcess, console: Console
) -> UUID:
    """Upload the recording, print what the worker logs, and return the session when it is done."""
    recording, found = inspected.path, inspected.found
    drawn = not isinstance(found, C3DError) and found.original_sample_count  # there is a picture
    content = await asyncio.to_thread(recording.read_bytes)
    object_path = f"{PATIENT}/{object_name(recording.stem)}.c3d"
    console.print(f"\n[bold]{recording.name}[/], {len(content):,} bytes", highlight=False)
    narrator = Narrator(console, time.time())
    async with connected(stack) as connection:
        bucket = connection.supabase.storage.from_(DEFAULT_BUCKET)
        await bucket.upload(object_path, content)
        narrator.tell(f"uploaded to Storage as {DEFAULT_BUCKET}/{object_path}")
    async for event in worker.follow(until="session_done"):
        tell(event, narrator)
    session = UUID(event["session"])
    if event["outcome"] == "completed" and drawn:
        async for event in worker.follow(until="preview_made"):
            tell(event, narrator)
            if event["event"] == "preview_failed":
                break
        else:
            await _save_picture(session, stack, console)
    return session


async def _save_picture(session: UUID, stack: StackInfo, console: Console) -> None:
    """Keep the picture where a person can look at it: the local stack ends with the demo."""
    async with connected(stack) as connection:
        picture = await connection.supabase.storage.from_(PREVIEWS).download(f"{session}.png")
    # A name of its own: whatever lies in that folder may be another person's.
    with tempfile.NamedTemporaryFile(prefix="c3d-demo-", suffix=".png", delete=False) as file:
        file.write(picture)
    console.print(f"            to look at: {file.name}", highlight=False, soft_wrap=True)


def tell(event: Mapping[str, Any], narrator: Narrator) -> None:
    """Print what an event means, when it happened."""
    if step := step_of(event):
        narrator.tell(step, datetime.fromisoformat(event["timestamp"]).timestamp())


def step_of(event: Mapping[str, Any]) -> str | None:
    """Return what an event of the worker's log means, in words; None: nothing to a spectator."""
    if event["event"] == "session_done" and event["outcome"] != "completed":
        return NOT_COMPLETED.format_map(event)
    return STEPS.get(event["event"], "").format_map(event) or None


async def _shown(
    session: UUID, inspected: Inspected, stack: StackInfo, worker: WorkerProcess, console: Console
) -> bool:
    """Print the rows, and return whether the technical row equals what `inspect` reads."""
    async with connected(stack) as connection:
        technical = await _row(connection, TECHNICAL, "session_id", session)
        overview = await _row(connection, "session_overview", "session_id", session)
    if technical:
        console.print(facts("\nc3d_technical_data", technical))
    console.print(facts("\nsession_overview", overview or {}))
    console.print(f"\nworker: peak memory {worker.peak_megabytes():.0f} MB", highlight=False)
    if isinstance(inspected.found, C3DError):
        console.print(f"[yellow]The recording is refused, as it should be[/]: {inspected.found}")
        return False
    expected = inspected.found.row()
    read_back = {name: (technical or {}).get(name) for name in expected}
    if read_back != expected:
        console.print(f"[red]The row differs from what inspect reads[/]: {expected}")
        return False
    console.print("[green]The row read back through PostgREST equals what `inspect` reads.[/]")
    return True


async def _row(
    connection: Connection, table: str, key: str, session: UUID
) -> dict[str, Any] | None:
    query = connection.supabase.table(table).select("*").eq(key, str(session))
    found = await rest.rows(query)
    return found[0] if found else None
