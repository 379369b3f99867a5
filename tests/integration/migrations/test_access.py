"""Who may do what: the worker's service_role everything it needs, everybody else nothing."""

from __future__ import annotations

import httpx
import pytest
import pytest_asyncio

from tests.conftest import CreateDatabase
from tests.integration.databases import connected, execute, rows
from tests.integration.legacy_shapes import JSON_NAMES, SPLIT_ALREADY
from tests.integration.migrating import OLD_DEFAULT_PRIVILEGES, apply
from worker.local.stack import StackInfo

STRANGERS = ("anon", "authenticated")
RELATIONS = """
select c.oid::regclass::text as name, c.relkind::text as kind, privilege,
  has_table_privilege($1, c.oid, privilege) as may
from pg_class as c,
  unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger'])
    as privilege
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'm', 'p', 'S')
"""
FUNCTIONS = """
select p.oid::regprocedure::text as name, p.prorettype = 'trigger'::regtype as is_trigger,
  p.prosecdef as definer, coalesce(array_to_string(p.proconfig, ','), '') as settings,
  has_function_privilege($1, p.oid, 'execute') as may
from pg_proc as p where p.pronamespace = 'public'::regnamespace
"""
CALLS = {
    "claim_sessions": {
        "claim": "00000000-0000-4000-8000-000000000000",
        "batch_size": 1,
        "lease_seconds": 60,
        "max_attempts": 5,
    },
    "complete_session": {
        "session": "00000000-0000-4000-8000-000000000000",
        "claim": "00000000-0000-4000-8000-000000000000",
        "technical": {},
        "content_hash": "ab" * 32,
    },
    "fail_session": {
        "session": "00000000-0000-4000-8000-000000000000",
        "claim": "00000000-0000-4000-8000-000000000000",
        "code": "object_missing",
        "message": "No such file.",
        "max_attempts": 5,
    },
    "release_sessions": {"claims": [], "sessions": []},
    "extend_lease": {"claims": [], "sessions": [], "lease_seconds": 60},
    "requeue_session": {"session": "00000000-0000-4000-8000-000000000000", "reason": "why"},
    "claim_objects": {
        "claim": "00000000-0000-4000-8000-000000000000",
        "bucket": "no-such-bucket",
        "batch_size": 1,
        "lease_seconds": 60,
    },
    "extend_object_leases": {"claims": [], "objects": [], "lease_seconds": 60},
    "count_pending_objects": {"bucket": "no-such-bucket"},
    "find_session": {"file_hash": "ab" * 32, "file_path": "no/such.c3d"},
    "relink_session": {
        "session": "00000000-0000-4000-8000-000000000000",
        "bucket": "no-such-bucket",
        "object_path": "no/such.c3d",
        "size_bytes": 1,
    },
    "find_copy": {
        "session": "00000000-0000-4000-8000-000000000000",
        "claim": "00000000-0000-4000-8000-000000000000",
        "bucket": "no-such-bucket",
        "read_path": "no/such.c3d",
    },
    "take_objects": {"takes": []},
    "note_uploads": {"objects": [], "every_file": True},
    "is_announcing": {"bucket": "no-such-bucket", "every_file": False},
    "count_cache_hit": {"session": "00000000-0000-4000-8000-000000000000"},
    "cached_statistics": {"file_hash": "ab" * 32, "version": 1},
    "cache_statistics": {"file_hash": "ab" * 32, "statistics": {"version": 1}},
    "invalidate_statistics": {"file_hash": "ab" * 32},
    "requeue_sessions": {
        "which": "failed",
        "reason": "why",
        "after_session": "ffffffff-ffff-4fff-bfff-ffffffffffff",
    },
}
# What they answer the worker is another test's matter.
REPORTS = ("queue_report", "installation_report", "webhook_report", "try_session", "ring_probe")
SETTINGS = "worker_settings"  # one row, which stays one
OF_THE_TABLE = (  # called by its triggers
    "lower_file_hash()",
    "touch_therapy_session()",
    "forget_measurement()",
    "accept_foreign_session()",
)
# Called by the trigger alone: as its owner, because uploads come from every role.
OF_THE_TRIGGER = ("announce_upload()", "send_upload_webhook(text,jsonb,jsonb)")
AS_THEIR_OWNER = ("announce_upload()", "webhook_report()")  # because of Vault


@pytest_asyncio.fixture(
    scope="session",
    loop_scope="session",
    params=["today's grants", "grants to everybody", "an old table split"],
)
async def project(
    request: pytest.FixtureRequest, migrated_template: str, blank_database: CreateDatabase
) -> str:
    """The URL of a migrated database, on projects of different ages; not to be changed."""
    if request.param == "today's grants":
        return migrated_template
    url = await blank_database()
    if request.param == "grants to everybody":
        await execute(url, OLD_DEFAULT_PRIVILEGES)
    else:
        await execute(url, JSON_NAMES)
    await apply(url)
    return url


@pytest.mark.parametrize("role", STRANGERS)
async def test_a_stranger_may_touch_no_table_view_or_function(project: str, role: str) -> None:
    relations = await rows(project, RELATIONS, role)
    functions = await rows(project, FUNCTIONS, role)
    assert {row["name"] for row in relations} >= {
        "therapy_sessions",
        "c3d_technical_data",
        "session_overview",
    }
    assert len(functions) >= len(CALLS)
    assert [row for row in (*relations, *functions) if row["may"]] == []


async def test_the_worker_may_do_everything_it_needs(project: str) -> None:
    relations = await rows(project, RELATIONS, "service_role")
    functions = await rows(project, FUNCTIONS, "service_role")
    for row in relations:
        needed = {"r": ("select", "insert", "update", "delete"), "v": ("select",)}.get(
            row["kind"], ()
        )
        if row["name"] == SETTINGS:
            needed = ("select", "update")
        if row["privilege"] in needed:
            assert row["may"], row
    refused = {row["name"] for row in functions if not row["may"]}
    assert refused - set(OF_THE_TABLE) == set(OF_THE_TRIGGER)


async def test_every_table_denies_what_no_policy_allows(project: str) -> None:
    found = await rows(
        project,
        "select relname, relrowsecurity from pg_class "
        "where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')",
    )
    assert [row for row in found if not row["relrowsecurity"]] == []
    assert await rows(project, "select * from pg_policies where schemaname = 'public'") == []


async def test_every_function_but_two_runs_as_its_caller_with_an_empty_search_path(
    project: str,
) -> None:
    for row in await rows(project, FUNCTIONS, "service_role"):
        assert row["settings"].split(",")[0] == 'search_path=""', row
        assert row["definer"] == (row["name"] in AS_THEIR_OWNER), row


async def test_the_overview_shows_a_reader_no_more_than_the_tables_do(project: str) -> None:
    async with connected(project) as reader:
        transaction = reader.transaction()
        await transaction.start()
        await reader.execute(
            "grant select on session_overview, therapy_sessions, c3d_technical_data, set_aside, "
            "session_previews to authenticated;"
            "insert into therapy_sessions "
            "(file_path, file_hash, file_size_bytes, original_filename) "
            "values ('P9/secret.c3d', 'secret', 1, 'secret.c3d');"
            "set local role authenticated"
        )
        seen = await reader.fetch("select * from session_overview")
        await transaction.rollback()
    assert seen == []


async def test_grants_of_an_old_table_stay_with_their_policies(
    blank_database: CreateDatabase,
) -> None:
    url = await blank_database()
    await execute(url, OLD_DEFAULT_PRIVILEGES + SPLIT_ALREADY)
    await apply(url)
    async with connected(url, role="authenticated") as reader:
        assert len(await reader.fetch("select * from therapy_sessions")) == 6
        assert await reader.fetch("select * from c3d_technical_data") == []
    async with connected(url, role="anon") as reader:
        assert await reader.fetch("select * from therapy_sessions") == []


@pytest.mark.parametrize(
    ("relation", "column"),
    [
        ("therapy_sessions", "file_path"),
        ("c3d_technical_data", "frame_count"),
        ("session_overview", ""),
    ],
)
async def test_a_stranger_reads_and_writes_nothing_through_the_api(
    migrated_stack: StackInfo, relation: str, column: str
) -> None:
    async with strangers_client(migrated_stack) as client:
        answers = [await client.get(f"/{relation}")]
        if column:
            answers += [
                await client.post(f"/{relation}", json={column: 1}),
                await client.patch(f"/{relation}", json={column: 1}),
                await client.delete(f"/{relation}"),
            ]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(401, "42501")}


@pytest.mark.parametrize("function", [*CALLS, *REPORTS])
async def test_a_stranger_calls_nothing_through_the_api(
    migrated_stack: StackInfo, function: str
) -> None:
    async with strangers_client(migrated_stack) as client:
        answer = await client.post(f"/rpc/{function}", json=CALLS.get(function, {}))
    assert (answer.status_code, answer.json()["code"]) == (401, "42501")


@pytest.mark.parametrize("function", CALLS)
async def test_the_worker_calls_every_function_through_the_api(
    migrated_stack: StackInfo, function: str
) -> None:
    async with client_with(migrated_stack, migrated_stack.secret_key) as client:
        answer = await client.post(f"/rpc/{function}", json=CALLS[function])
    assert answer.status_code == 200, answer.text
    none_left = {"waiting": 0, "due": 0, "taking": 0}
    none_requeued = {"requeued": 0, "last_session": None}
    none_relinked = {"result": "missing", "patient_changed": False}
    answers = [[], [none_left], [none_requeued], [none_relinked], "lost", "missing", 0, None]
    assert answer.json() in answers


def strangers_client(stack: StackInfo) -> httpx.AsyncClient:
    """Return a client of somebody who only has the public key."""
    return client_with(stack, stack.publishable_key)


def client_with(stack: StackInfo, key: str) -> httpx.AsyncClient:
    """Return a client of PostgREST that sends a key."""
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=f"{stack.url}/rest/v1", headers=headers, timeout=10)
