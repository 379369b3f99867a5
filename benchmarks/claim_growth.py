"""The claim beside ever more sessions, finished and waiting."""

from __future__ import annotations

import statistics
import time
from contextlib import AsyncExitStack
from uuid import uuid4

import asyncpg

from benchmarks.harness import PROJECT
from benchmarks.measurement import Series, Target, compared
from benchmarks.run import Run
from worker.local.packages import ensure_installed
from worker.local.postgres import cluster, create_database
from worker.local.supabase_cli import push

FEW_WAITING = 200
BATCH = 10
# As tests/faults/test_claim_plan.py loads them.
LOAD = """
insert into public.therapy_sessions (
  file_path, file_hash, file_size_bytes, original_filename,
  processing_status, processing_due_at, processing_claim, created_at)
select 'P005/' || n || '.c3d', md5(n::text) || md5('and ' || n), 1000, n || '.c3d',
  $3, case $3 when 'pending' then clock_timestamp() - interval '1 second' * (n % 100000) end,
  case when $3 <> 'pending' then gen_random_uuid() end,
  clock_timestamp() - interval '1 second' * n
from generate_series($1::bigint, $2::bigint) as n
"""
CLAIM = "select id from public.claim_sessions($1, $2, 60, 3)"


async def measure(run: Run) -> None:
    """Time the same claim in databases of several sizes, in turn."""
    packages = ensure_installed(print)
    sizes = (0, *run.sizes.completed)
    milliseconds: dict[int, list[float]] = {size: [] for size in sizes}
    async with (
        cluster(packages.postgres_binaries, run.subfolder("claims"), 0) as url,
        AsyncExitStack() as context,
    ):
        template = await create_database(url, "template_migrated")
        await push(template, PROJECT, packages)
        databases = {}
        for size in sizes:
            name = f"finished_{size}"
            address = await create_database(url, name, template="template_migrated")
            databases[size] = database = await asyncpg.connect(address)
            context.push_async_callback(database.close)
            waiting = max(FEW_WAITING, size // 10)
            await database.execute(LOAD, 1, size, "completed")
            await database.execute(LOAD, size + 1, size + waiting, "pending")
            await database.execute("vacuum analyze public.therapy_sessions")
        for turn in range(run.sizes.claims):
            for size, database in databases.items():
                seconds = await _claim(database)
                if turn:  # the first one plans
                    milliseconds[size].append(seconds * 1e3)
    largest = sizes[-1]
    run.add(
        compared(
            f"claim beside {largest:,} finished and {max(FEW_WAITING, largest // 10):,} waiting",
            "ms",
            milliseconds[largest],
            milliseconds[0],
            f"the same batch of {BATCH} beside {FEW_WAITING} waiting",
            target=Target("ratio", 3),
        )
    )
    run.series["claim"] = Series(
        title=f"A claim of {BATCH} sessions: ms",
        x_is="finished sessions in the table, a tenth as many waiting",
        y_is="ms",
        x=sizes[1:],
        lines={
            "c3d-worker": [statistics.median(milliseconds[size]) for size in sizes[1:]],
            f"with {FEW_WAITING} sessions in all": [statistics.median(milliseconds[0])]
            * len(sizes[1:]),
        },
    )


async def _claim(database: asyncpg.Connection[asyncpg.Record]) -> float:
    """Claim, and take it back: the next claim finds what this one found."""
    transaction = database.transaction()
    await transaction.start()
    started = time.perf_counter()
    claimed = await database.fetch(CLAIM, uuid4(), BATCH)
    seconds = time.perf_counter() - started
    await transaction.rollback()
    assert len(claimed) == BATCH
    return seconds
