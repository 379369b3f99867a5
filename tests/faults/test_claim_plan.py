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
INDEX, OF_A_CLAIM = "therapy_sessions_unfinished", "therapy_sessions_claimed"
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
STEPS = ("claim_sessions", "fail_worn_out", "start_abandoned", "start_waiting", "still_due")
LOOKS = 6  # still_due looks twice
# Every look at the table for something to claim, as it stands in the functions' own text.
LOOK = re.compile(
    r"select (?:s\.id|coalesce\(s\.processing_due_at, '-infinity'\))\s+"
    r"from public\.therapy_sessions as s\s+where (?:s\.processing_status|case).*?"
    r"(?=\n\s*\);|\n\s*loop)",
    re.DOTALL,
)
ASIDE = 1000  # sessions that were set aside, at the head of the queue
SET_ASIDE = """
insert into public.set_aside (session_id, reason, until)
select s.id, 'row_refused: no.', now() + interval '1 hour' from public.therapy_sessions as s
where s.processing_status = 'pending' order by s.processing_due_at, s.created_at limit $1
"""

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


@pytest_asyncio.fixture(loop_scope="module", params=[0, ASIDE], ids=["none aside", "1,000 aside"])
async def aside(request: pytest.FixtureRequest, url: str) -> AsyncIterator[int]:
    """So many sessions are set aside."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(SET_ASIDE, request.param)
        yield request.param
        await connection.execute("truncate public.set_aside")
    finally:
        await connection.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("analyzed", [False, True], ids=["no statistics yet", "analyzed"])
@pytest.mark.usefixtures("aside")
async def test_every_look_of_the_claim_reads_the_index_in_its_order(
    url: str, *, analyzed: bool
) -> None:
    connection = await asyncpg.connect(url)
    try:
        if analyzed:
            await connection.execute("vacuum analyze public.therapy_sessions, public.set_aside")
        source = await connection.fetchval(
            "select string_agg(prosrc, '') from pg_proc where proname = any ($1)", STEPS
        )
        looks = [match.group() for match in LOOK.finditer(source)]
        assert len(looks) == LOOKS, looks
        for look in looks:
            nodes = list(walk(await explained(connection, look)))
            scans = {
                (node["Node Type"], node.get("Index Name"))
                for node in nodes
                if node.get("Relation Name") == "therapy_sessions"
                or node.get("Index Name", "").startswith("therapy_sessions")
            }
            index = OF_A_CLAIM if ".processing_claim end" in look else INDEX
            assert {name for _, name in scans if name} == {index}, look
            assert not [kind for kind, _ in scans if kind == "Seq Scan"], look
            assert not [node for node in nodes if node["Node Type"] == "Sort"], look
    finally:
        await connection.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_claim_reads_little_more_than_it_takes_and_what_is_set_aside(
    url: str, aside: int
) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("vacuum analyze public.therapy_sessions, public.set_aside")
        # More often than plpgsql makes up its mind about a plan for all arguments (five times).
        for _ in range(8):
            async with connection.transaction():
                before = await read(connection)
                claimed = await connection.fetch(
                    "select id from public.claim_sessions($1, $2, 60, 3)", uuid4(), BATCH
                )
                scans, rows = (a - b for a, b in zip(await read(connection), before, strict=True))
            assert len(claimed) == BATCH
            assert scans == 0
            assert rows <= 20 * (BATCH + IN_HAND) + aside
    finally:
        await connection.close()


async def read(connection: asyncpg.Connection[asyncpg.Record]) -> tuple[int, int]:
    """Whole scans of the table, and rows fetched by an index, until now."""
    found = await connection.fetchrow(
        """select seq_scan, idx_tup_fetch from pg_stat_xact_user_tables
           where relname = 'therapy_sessions'"""
    )
    assert found is not None
    return tuple(found)


async def explained(connection: asyncpg.Connection[asyncpg.Record], look: str) -> Any:
    """The plan of a statement of the functions, its variables replaced by values."""
    values = {
        "claim": f"'{uuid4()}'::uuid",
        "batch_size": str(BATCH),
        "cardinality(started)": "0",
        "max_attempts": "3",
        "right_now": "(now() + interval '0')::timestamptz",
        **dict.fromkeys(
            ("waiting_since", "abandoned_since", "since"), "(now() - interval '1 day')"
        ),
    }
    statement = re.sub(rf"\b(?:{'|'.join(STEPS)})\.", "", look)
    for name, value in values.items():
        statement = re.sub(rf"\b{re.escape(name)}(?!\w)", value, statement)
    found = await connection.fetchval(f"explain (format json) {statement}")
    return json.loads(found)[0]["Plan"]


def walk(node: dict[str, Any]) -> Any:
    yield node
    for below in node.get("Plans", []):
        yield from walk(below)
