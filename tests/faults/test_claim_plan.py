"""The claim stays cheap however many sessions are finished, and however many wait."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from tests.conftest import PROJECT
from tests.faults.scenario import FULL
from worker.local.packages import Packages
from worker.local.postgres import cluster
from worker.local.supabase_cli import push

COMPLETED, PENDING, IN_HAND = (1_000_000, 100_000, 40) if FULL else (20_000, 5_000, 40)
BATCH = 10
INDEX = "therapy_sessions_unfinished"
LOAD = """
insert into public.therapy_sessions (
  file_path, file_hash, file_size_bytes, original_filename,
  processing_status, processing_due_at, processing_claim, created_at)
select 'P005/' || n || '.c3d', md5(n::text) || md5('and ' || n), 1000, n || '.c3d',
  $3, case $3 when 'completed' then null
              when 'processing' then clock_timestamp() + interval '1 hour'
              else clock_timestamp() - interval '1 second' * (n % 100000) end,
  case when $3 <> 'pending' then gen_random_uuid() end,
  clock_timestamp() - interval '1 second' * n
from generate_series($1::bigint, $2::bigint) as n
"""
STEPS = ("claim_sessions", "fail_worn_out", "lock_abandoned", "lock_waiting")
# Every look at the table for something to claim, as it stands in the functions' own text.
LOOK = re.compile(
    r"select (?:array_agg\(s\.id\),[^;]*?|array\[s\.id\]|s\.id|coalesce\([^)]*\)[^)]*?)\s+"
    r"(?:into [\w, ]+\s+)?from public\.therapy_sessions as s\s+where.*?(?=;|\n\s*\))",
    re.DOTALL,
)

pytestmark = [pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(tmp_path_factory: pytest.TempPathFactory, packages: Packages) -> AsyncIterator[str]:
    """A database in a cluster of its own, so that no feed has to read what is loaded."""
    data: Path = tmp_path_factory.mktemp("plan")
    async with cluster(packages.postgres_binaries, data, 0) as url:
        await push(url, PROJECT, packages)
        connection = await asyncpg.connect(url)
        try:
            ends = (0, COMPLETED, COMPLETED + PENDING, COMPLETED + PENDING + IN_HAND)
            for status, begin, end in zip(
                ("completed", "pending", "processing"), ends, ends[1:], strict=False
            ):
                await connection.execute(LOAD, begin + 1, end, status)
        finally:
            await connection.close()
        yield url


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("analyzed", [False, True], ids=["no statistics yet", "analyzed"])
async def test_every_look_of_the_claim_uses_the_index(url: str, *, analyzed: bool) -> None:
    connection = await asyncpg.connect(url)
    try:
        if analyzed:
            await connection.execute("vacuum analyze public.therapy_sessions")
        source = await connection.fetchval(
            "select string_agg(prosrc, '') from pg_proc where proname = any ($1)", STEPS
        )
        looks = [match.group() for match in LOOK.finditer(source)]
        assert len(looks) == 5, looks
        for look in looks:
            plan = await explained(connection, look)
            nodes = list(walk(plan))
            scans = {
                (node["Node Type"], node.get("Index Name"))
                for node in nodes
                if "Relation Name" in node or "Index Name" in node
            }
            assert {name for _, name in scans if name} == {INDEX}, look
            assert not [kind for kind, _ in scans if kind == "Seq Scan"], look
    finally:
        await connection.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_claim_reads_little_more_than_it_takes(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("vacuum analyze public.therapy_sessions")
        # More often than plpgsql makes up its mind about a plan for all arguments (five times).
        for _ in range(8):
            async with connection.transaction():
                claimed = await connection.fetch(
                    "select id from public.claim_sessions($1, $2, 60, 3)", uuid4(), BATCH
                )
                seen = await connection.fetchrow(
                    """select seq_scan, idx_tup_fetch from pg_stat_xact_user_tables
                       where relname = 'therapy_sessions'"""
                )
            assert len(claimed) == BATCH
            assert seen is not None
            assert seen["seq_scan"] == 0
            assert seen["idx_tup_fetch"] <= 20 * (BATCH + IN_HAND)
    finally:
        await connection.close()


async def explained(connection: asyncpg.Connection[asyncpg.Record], look: str) -> Any:
    """The plan of a statement of the function, its variables replaced by values."""
    statement = re.sub(r"\binto [\w, ]+\n", "\n", look)
    values = {
        "claim": f"'{uuid4()}'::uuid",
        "batch_size": str(BATCH),
        "max_attempts": "3",
        "right_now": "(now() + interval '0')::timestamptz",
        "longest_waiting": "(now() - interval '1 minute')::timestamptz",
    }
    statement = re.sub(rf"\b(?:{'|'.join(STEPS)})\.", "", statement)
    for name, value in values.items():
        statement = re.sub(rf"\b{name}\b", value, statement)
    found = await connection.fetchval(f"explain (format json) {statement}")
    return json.loads(found)[0]["Plan"]


def walk(node: dict[str, Any]) -> Any:
    yield node
    for below in node.get("Plans", []):
        yield from walk(below)
