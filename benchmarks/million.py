"""Taking in, looking, counting and the dashboard's page beside up to a million sessions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import asyncpg

from benchmarks.harness import Harness, open_harness, settings_of
from benchmarks.measurement import Target, compared
from benchmarks.run import Run
from worker.backend.connection import Connection, connect
from worker.backend.queue_look import QueueLooks
from worker.backend.queue_report import QueueReports
from worker.intake.factory import make_intake, make_intake_loop
from worker.local.postgres import SUPERUSER, as_role
from worker.local.recordings import ghostly_recording
from worker.settings import DEFAULT_BUCKET, Settings

LOAD = (Path(__file__).parent / "million.sql").read_text(encoding="utf-8")
UPLOADS = 60
ROUNDS = 9  # of uploads, beside so many sessions
# As the dashboard's table editor asks for a view: by its first column.
DASHBOARD = """
select * from public.session_overview
order by session_overview.urgency asc nulls first limit 100 offset 0
"""
PUBLISHED = "alter publication supabase_realtime {} table public.therapy_sessions"
# Realtime reads past the filling too, for seconds, on the processor of what is measured.
UNREAD = """
select exists (
  select from pg_replication_slots where active and confirmed_flush_lsn < $1::text::pg_lsn
)
"""
READ_SECONDS = 300.0  # for all of it; else something is wrong with the slot
LOOK_SECONDS = 0.2  # between two looks at how far it has come


async def measure(run: Run) -> None:
    """Measure on a stack of its own, which is filled step by step."""
    few, *_, many = run.sizes.beside
    async with open_harness(run.subfolder("million")) as harness:
        settings = settings_of(harness.stack)
        await harness.announces(DEFAULT_BUCKET)
        async with connect(settings) as connection:
            beside = Beside(harness, connection, settings, run.sizes.singles)
            taken = {0: await beside.uploads_taken()}
            looks: dict[int, dict[str, list[float]]] = {}
            for before, sessions in zip((0, *run.sizes.beside), run.sizes.beside, strict=False):
                await fill(harness, before + 1, sessions)
                looks[sessions] = await beside.looks()
                taken[sessions] = await beside.uploads_taken()
    run.add(
        *(
            compared(
                f"taking in {UPLOADS} uploads beside {sessions:,} sessions",
                "ms",
                taken[sessions],
                taken[0],
                "the same beside none",
                target=Target("ratio", 1.2),
            )
            for sessions in run.sizes.beside[1:]
        ),
        *(
            compared(
                f"{name} beside {many:,} sessions and objects",
                "ms",
                looks[many][name],
                looks[few][name],
                f"the same beside {few:,}",
                target=target,
            )
            for name, target in (
                ("looking for uploads, when there are none,", Target("ratio", 1.5)),
                ("reading 1,000 names of the bucket", None),
                ("every count of `status`", Target("ours", 100)),
                ("the dashboard's first page", Target("ours", 20)),
            )
        ),
    )


async def fill(harness: Harness, first: int, last: int) -> None:
    """Make sessions with all that belongs to them; Realtime hears of none."""
    database = await asyncpg.connect(as_role(harness.stack.database_url, SUPERUSER))
    try:
        await database.execute(PUBLISHED.format("drop"))
        numbered = LOAD.replace("$FIRST", str(first)).replace("$LAST", str(last))
        await database.execute(numbered.replace("$OLD", "false"))
        await database.execute(PUBLISHED.format("add"))
        await database.execute("vacuum analyze")
        await database.execute("checkpoint")  # else it would write during the measuring
        filled = await database.fetchval("select pg_current_wal_lsn()::text")
        async with asyncio.timeout(READ_SECONDS):
            while await database.fetchval(UNREAD, filled):
                await asyncio.sleep(LOOK_SECONDS)
    finally:
        await database.close()


class Beside:
    """What is measured beside the sessions that are there."""

    def __init__(
        self, harness: Harness, connection: Connection, settings: Settings, times: int
    ) -> None:
        """`times` is how often each look is taken."""
        self._harness = harness
        self._connection = connection
        self._settings = settings
        self._times = times
        self._intake = make_intake(connection, settings)
        self._content = ghostly_recording(1.0)

    async def uploads_taken(self) -> list[float]:
        """Milliseconds to take in uploads that have announced themselves."""
        milliseconds = []
        for _ in range(ROUNDS + 1):  # the first one plans
            await self._harness.recordings(f"new-{uuid4()}", [self._unique()], UPLOADS)
            loop = make_intake_loop(self._intake, self._settings)
            milliseconds.append(await _timed(loop.drain))
        return milliseconds[1:]

    async def looks(self) -> dict[str, list[float]]:
        """Milliseconds of each look."""
        queue = self._intake.queue
        looks = QueueLooks(self._connection.supabase, DEFAULT_BUCKET, every_file=False)
        reports = QueueReports(self._connection.supabase)

        async def for_uploads() -> None:
            await looks.look()
            await queue.claim(uuid4(), limit=16)

        async def names() -> None:
            await queue.announce_page("")

        async def dashboard() -> None:
            await self._harness.database.fetch(DASHBOARD)

        calls = {
            "looking for uploads, when there are none,": for_uploads,
            "reading 1,000 names of the bucket": names,
            "every count of `status`": reports.queue,
            "the dashboard's first page": dashboard,
        }
        found: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(self._times + 1):
            for name, call in calls.items():
                milliseconds = await _timed(call)
                if turn:  # the first one plans
                    found[name].append(milliseconds)
        return found

    def _unique(self) -> bytes:
        return self._content[:-20] + uuid4().bytes + bytes(4)


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await call()
    return (time.perf_counter() - started) * 1e3
