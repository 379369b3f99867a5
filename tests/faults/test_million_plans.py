"""What reads a bounded number of rows, however many sessions and uploads there are.

Beside sessions that this project has read, and beside as many of the old system: hashes of paths,
the bucket's name before the path, no upload taken in.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.conftest import PROJECT
from tests.faults.scenario import FULL
from tests.faults.test_claim_plan import walk
from tests.integration.databases import Connection, connected
from worker.local.packages import Packages
from worker.local.postgres import SUPERUSER, as_role, cluster
from worker.local.supabase_cli import push

SESSIONS: Final = 1_000_000 if FULL else 50_000
LOAD: Final = (PROJECT / "benchmarks" / "million.sql").read_text()
# As the dashboard's table editor asks for a view: by its first column.
PAGE_OF: Final = (
    "select * from public.{0} order by {0}.urgency asc nulls first limit 100 offset {1}"
)
ROWS_READ: Final = """
select relname, seq_tup_read + coalesce(idx_tup_fetch, 0)
from pg_stat_xact_user_tables
where relname in ('therapy_sessions', 'c3d_technical_data', 'storage_intake', 'objects')
"""
PAGE_READS: Final = 5_000  # sessions: a failed one looks for what may have taken its place
COUNTED: Final = 10_001  # rows of each kind that is finished
FEW: Final = SESSIONS // 100  # sessions that failed, or were skipped, or wait, or are duplicates
# Statement: how many rows of any table it may read.
BOUNDED: Final = {
    "select * from look_at_queues('c3d-files', false)": 100,
    "select * from count_pending_objects('c3d-files')": 100,
    "select * from find_session(repeat('ab', 32), 'P001/new.c3d', 'c3d-files')": 10,
    "select * from find_session(repeat('ab', 32), 'P001/Ghostly_Emg_1.c3d', 'c3d-files')": 10,
    "select fill_patients()": 10,
    "select * from announce_objects('c3d-files', after_name => 'P500/')": 5_000,
    "select * from requeue_sessions('failed', 'why', dry_run => true)": FEW + 1_000,
    "select * from requeue_sessions('failed', 'why', 'no_such_code', dry_run => true)": FEW,
    "select * from requeue_sessions('migrated', 'why', dry_run => true)": 4_000,
    "select * from retake_objects('refused', 'c3d-files', dry_run => true)": 4_000,
    # Of a small table it reads all, which is cheaper than a thousand rows one by one.
    "select * from retake_objects('all', 'c3d-files', dry_run => true)": 60_000,
    "select * from retake_objects('named', 'c3d-files', 'P001/Ghostly_Emg_1.c3d')": 20,
    "select * from queue_report()": COUNTED + 4 * FEW,
}

pytestmark = [pytest.mark.timeout(900)]


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["false", "true"], ids=["read", "of the old system"]
)
async def url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, packages: Packages
) -> AsyncIterator[str]:
    """A database in a cluster of its own, without statistics."""
    data: Path = tmp_path_factory.mktemp("million")
    async with cluster(packages.postgres_binaries, data, 0) as url:
        await push(url, PROJECT, packages)
        async with connected(as_role(url, SUPERUSER)) as database:
            numbered = LOAD.replace("$FIRST", "1").replace("$LAST", str(SESSIONS))
            await database.execute(numbered.replace("$OLD", request.param))
        yield url


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("analyzed", [False, True], ids=["no statistics yet", "analyzed"])
async def test_nothing_reads_more_rows_than_it_has_to_say_something_about(
    url: str, *, analyzed: bool
) -> None:
    if analyzed:
        async with connected(as_role(url, SUPERUSER)) as database:
            await database.execute("vacuum analyze")
    async with connected(url, role="service_role") as database:
        for statement, most in BOUNDED.items():
            # More often than plpgsql makes up its mind about a plan for all arguments (five times).
            for _ in range(7):
                read = await rows_read(database, statement)
            assert max(read.values(), default=0) <= most, (statement, read)
    for role in ("service_role", "postgres"):  # PostgREST's, and the dashboard's
        async with connected(url, role=role) as database:
            for view, offset in (("session_overview", 0), ("session_overview", 900)):
                await assert_in_the_order_of_the_index(database, PAGE_OF.format(view, offset))
            page = await rows_read(database, PAGE_OF.format("upload_overview", 0))
            assert page.get("storage_intake", 0) <= FEW


@pytest.mark.asyncio(loop_scope="module")
async def test_an_upload_is_taken_in_by_indexes_alone(url: str) -> None:
    async with connected(as_role(url, SUPERUSER)) as database:
        await database.execute("vacuum analyze")
        await database.execute("update public.worker_settings set bucket = 'c3d-files'")
        for _ in range(7):
            transaction = database.transaction()
            await transaction.start()
            before = await read_until_now(database)
            await take_in(database, uploads=16)
            read = since(before, await read_until_now(database))
            await transaction.rollback()
            assert max(read.values()) <= 16 * 40, read


async def take_in(database: Connection, *, uploads: int) -> None:
    """Upload objects that announce themselves, claim them, and give them their sessions."""
    for _ in range(uploads):
        await database.execute(
            "insert into storage.objects (bucket_id, name, version) values ('c3d-files', $1, $2)",
            f"P001/{uuid4()}.c3d",
            str(uuid4()),
        )
    claim = uuid4()
    claimed = await database.fetch(
        "select * from claim_objects($1, 'c3d-files', $2, 60)", claim, uploads
    )
    takes = [
        {
            "object": str(row["object_id"]),
            "version": row["version"],
            "claim": str(claim),
            "file_hash": uuid4().hex * 2,
            "size_bytes": 1000,
            "patient": "P001",
            "recording": True,
        }
        for row in claimed
    ]
    taken = await database.fetch("select * from take_objects($1::jsonb)", json.dumps(takes))
    assert [row["outcome"] for row in taken] == ["session"] * uploads


async def assert_in_the_order_of_the_index(database: Connection, statement: str) -> None:
    found = await database.fetchval(f"explain (format json) {statement}")
    nodes: list[dict[str, Any]] = list(walk(json.loads(found)[0]["Plan"]))
    kinds = {node["Node Type"] for node in nodes}
    assert kinds.isdisjoint({"Sort", "Incremental Sort", "Hash Join", "Merge Join"}), nodes
    scanned = [
        node.get("Index Name") for node in nodes if node.get("Relation Name") == "therapy_sessions"
    ]
    assert scanned[0] == "therapy_sessions_urgency"  # what it looks up for each row comes after
    assert None not in scanned
    read = await rows_read(database, statement)
    assert read["therapy_sessions"] <= PAGE_READS


async def rows_read(database: Connection, statement: str) -> dict[str, int]:
    transaction = database.transaction()
    await transaction.start()
    before = await read_until_now(database)
    await database.fetch(statement)
    after = await read_until_now(database)
    await transaction.rollback()
    return since(before, after)


async def read_until_now(database: Connection) -> dict[str, int]:
    """Rows of each table that this connection has read, and not yet told the others."""
    return {name: rows for name, rows in await database.fetch(ROWS_READ)}  # noqa: C416


def since(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: rows - before.get(name, 0) for name, rows in after.items()}
