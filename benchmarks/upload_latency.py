"""How long an upload waits for its session and its row, alone and when a backlog is before it.

The worker has no webhook and no open port, and does not read the bucket: it hears a bell.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any
from uuid import uuid4

from benchmarks.actors import ready_worker, rival
from benchmarks.harness import Harness, numbered, open_harness
from benchmarks.measurement import Measurement, Target, percentile
from benchmarks.pauses import SETTLE, pauses
from benchmarks.run import Run
from worker.backend.connection import Connection
from worker.local.migrated import connected
from worker.local.recordings import ghostly_recording
from worker.settings import DEFAULT_BUCKET

BACKLOG = "P005/"  # where `Harness.recordings` puts them; single uploads come before
SINGLE = "P001/"
SINGLES_FROM = 1_000_000  # of the contents of single uploads: none is also in the backlog
NEVER = "3600"  # seconds: what is not heard is not found in time
WAIT_SECONDS = 60.0

# Only for the measuring: who waits for a session, or for its row, hears of it at its commit.
TOOLS = """
create function public.announce_session() returns trigger language plpgsql as $$
begin
  perform pg_notify('session_made', new.file_path);
  return null;
end $$;
create trigger announce_session after insert on public.therapy_sessions
  for each row execute function public.announce_session();

create function public.announce_path() returns trigger language plpgsql as $$
begin
  perform pg_notify('row_made', s.file_path)
  from public.therapy_sessions as s where s.id = new.session_id;
  return null;
end $$;
create trigger announce_path after insert on public.c3d_technical_data
  for each row execute function public.announce_path();
"""
BARE_SESSION = "idle: Realtime's delivery of the bell, one bare download, one bare insert"
BARE_ROW = "idle: the same, a claim and a completion; nothing is read"
LEFT = "select exists (select from public.storage_intake where outcome = 'waiting')"


async def measure(run: Run) -> None:
    """Compare with what cannot be avoided: the bell's delivery, a download and an insert."""
    idle: list[float] = []
    busy: list[float] = []
    bare: list[float] = []
    rows: list[float] = []
    bare_rows: list[float] = []
    async with (
        open_harness(run.subfolder("uploads")) as harness,
        connected(harness.stack) as connection,
    ):
        await harness.database.execute(TOOLS)
        uploader = Uploader(harness, connection, ghostly_recording(run.sizes.session_seconds))
        await uploader.hear_of("session_made")
        await harness.recordings("backlog", [uploader.content], run.sizes.upload_backlog)
        await harness.announces(DEFAULT_BUCKET)
        for _ in range(run.sizes.rounds):
            await harness.clear()
            async with ready_worker(harness.stack, harness.folder, POLL_SECONDS=NEVER):
                idle += await uploader.waits(run.sizes.singles)
                busy += await uploader.waits_beside_backlog(run.sizes.singles)
            await harness.clear()
            async with rival(harness.stack, "bare_intake") as listener:
                bare += await uploader.waits(run.sizes.singles, listener.tell)
        await uploader.hear_of("row_made")
        for _ in range(run.sizes.rounds):
            await harness.clear()
            async with ready_worker(harness.stack, harness.folder, POLL_SECONDS=NEVER):
                rows += await uploader.waits(run.sizes.singles)
            await harness.clear()
            async with rival(harness.stack, "bare_intake", "rows") as listener:
                bare_rows += await uploader.waits(run.sizes.singles, listener.tell)
    run.add(
        _row("upload answered → session, p50", idle, bare, 1.3),
        _row(f"the same in a backlog of {run.sizes.upload_backlog:,} uploads", busy, bare, 3),
        _row("upload answered → technical row, p50", rows, bare_rows, 1.3, BARE_ROW),
    )


class Uploader:
    """Uploads one recording after another, and waits for the session of each."""

    def __init__(self, harness: Harness, connection: Connection, content: bytes) -> None:
        """Bind; nothing is uploaded yet. No two uploads have the same content."""
        self.content = content
        self._database = harness.database
        self._bucket = connection.supabase.storage.from_(DEFAULT_BUCKET)
        self._numbers = count(SINGLES_FROM)
        self._made: dict[str, asyncio.Future[float]] = {}
        self._hears_of: str | None = None

    async def hear_of(self, what: str) -> None:
        """Wait from now on for this of each upload, and for nothing else."""
        if self._hears_of:
            await self._database.remove_listener(self._hears_of, self._hear)
        await self._database.add_listener(what, self._hear)
        self._hears_of = what

    def _hear(self, *notification: Any) -> None:
        """Note when it became visible."""
        if made := self._made.pop(notification[-1], None):
            made.set_result(time.perf_counter())

    async def waits(
        self, most: int, tell: Callable[[str], Awaitable[None]] | None = None
    ) -> list[float]:
        """Return the seconds that each upload waited; `tell` is called with its path before."""
        await asyncio.sleep(SETTLE)
        return [await self._wait(pause, tell) for pause in pauses(most)]

    async def waits_beside_backlog(self, most: int) -> list[float]:
        """Return the same while a backlog is taken in, of as many as arrive in that time."""
        await self._database.execute(
            "select public.announce_objects($1, after_name => $2)", DEFAULT_BUCKET, BACKLOG
        )
        waits: list[float] = []
        for pause in pauses(most):
            if not await self._database.fetchval(LEFT):
                break
            waits.append(await self._wait(pause))
        return waits

    async def _wait(
        self, pause: float, tell: Callable[[str], Awaitable[None]] | None = None
    ) -> float:
        await asyncio.sleep(pause)
        path, content = f"{SINGLE}{uuid4()}.c3d", numbered(self.content, next(self._numbers))
        made: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._made[path] = made
        if tell:
            await tell(path)
        await self._bucket.upload(path, content)
        answered = time.perf_counter()
        async with asyncio.timeout(WAIT_SECONDS):
            return await made - answered


def _row(
    name: str,
    ours: Sequence[float],
    bare: Sequence[float],
    bound: float,
    other_is: str = BARE_SESSION,
) -> Measurement:
    return Measurement(
        name=name,
        ours=percentile(ours, 50) * 1e3,
        other=percentile(bare, 50) * 1e3,
        unit="ms",
        other_is=other_is,
        target=Target("ratio", bound),
        ours_range=(min(ours) * 1e3, max(ours) * 1e3),
        other_range=(min(bare) * 1e3, max(bare) * 1e3),
        note=f"{len(ours)} uploads, and {len(bare)}",
    )
