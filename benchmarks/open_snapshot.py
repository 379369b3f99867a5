"""The claim beside a transaction that stays open: the index keeps what was claimed since."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

import asyncpg

from benchmarks.claim_growth import BATCH, FEW_WAITING, LOAD
from benchmarks.harness import PROJECT
from benchmarks.measurement import Target, compared, in_turn
from benchmarks.run import Run
from worker.backend import horizon
from worker.local.packages import ensure_installed
from worker.local.postgres import cluster, create_database
from worker.local.supabase_cli import push

AHEAD = 50  # sessions that a busy worker claims at once
CLAIM = """
select * from public.claim_sessions(
  $1, $2, 60, 3, waiting_since => $3::text::timestamptz, abandoned_since => $4::text::timestamptz)
"""
COMPLETE = """
update public.therapy_sessions
set processing_status = 'completed', processing_due_at = null, hash_measured_at = now()
where id = any ($1)
"""


class Claims:
    """The claims of a worker, in one database."""

    def __init__(self, database: asyncpg.Connection[asyncpg.Record]) -> None:
        """Begin with one that looks at all."""
        self._database = database
        self._horizon = horizon.of_sessions()

    async def work_off(self, sessions: int) -> None:
        """Claim so many sessions, batch by batch, and complete them."""
        for _ in range(sessions // AHEAD):
            await self._database.execute(COMPLETE, await self._claim(AHEAD))

    async def milliseconds(self, *, whole: bool = False) -> float:
        """Time a claim, and take it back: the next one finds what this one found."""
        begin = horizon.of_sessions() if whole else self._horizon
        transaction = self._database.transaction()
        await transaction.start()
        since = begin.arguments().values()
        started = time.perf_counter()
        found = await self._database.fetch(CLAIM, uuid4(), BATCH, *since)
        milliseconds = (time.perf_counter() - started) * 1e3
        await transaction.rollback()
        assert len(found) == BATCH + 1
        return milliseconds

    async def _claim(self, sessions: int) -> list[object]:
        since = self._horizon.arguments().values()
        *claimed, answer = await self._database.fetch(CLAIM, uuid4(), sessions, *since)
        self._horizon.move({name: str(value) for name, value in answer.items()})
        return [row["id"] for row in claimed]


async def measure(run: Run) -> None:
    """Work off as many sessions in two databases, one of them beside an open transaction."""
    packages = ensure_installed(print)
    count = run.sizes.claimed_before
    async with (
        cluster(packages.postgres_binaries, run.subfolder("snapshot"), 0) as url,
        AsyncExitStack() as context,
    ):
        template = await create_database(url, "template_migrated")
        await push(template, PROJECT, packages)
        claims = []
        for name in ("free", "held"):
            address = await create_database(url, name, template="template_migrated")
            database = await asyncpg.connect(address)
            context.push_async_callback(database.close)
            await database.execute(LOAD, 1, count + FEW_WAITING, "pending")
            await database.execute("vacuum analyze public.therapy_sessions")
            if name == "held":
                await context.enter_async_context(_open_snapshot(address))
            claims.append(Claims(database))
            await claims[-1].work_off(count)
        free, held = claims
        bounded, whole, other = await in_turn(
            run.sizes.claims,
            held.milliseconds,
            lambda: held.milliseconds(whole=True),
            free.milliseconds,
        )
    same = "the same claim with no transaction open"
    after = f"after {count:,} sessions beside an open transaction"
    run.add(
        compared(f"claim {after}", "ms", bounded, other, same, target=Target("ratio", 5)),
        compared(f"claim that looks at all, at each poll, {after}", "ms", whole, other, same),
    )


@asynccontextmanager
async def _open_snapshot(url: str) -> AsyncIterator[None]:
    database = await asyncpg.connect(url)
    try:
        async with database.transaction(isolation="repeatable_read"):
            await database.fetch("select count(*) from public.therapy_sessions")
            yield
    finally:
        await database.close()
