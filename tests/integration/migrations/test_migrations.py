"""The migrations as people run them: with the real CLI, on a new project and on a lived-in one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from tests.conftest import PROJECT, CreateDatabase
from tests.integration.databases import connected, execute, rows
from tests.integration.legacy_shapes import JSON_NAMES, SPLIT_ALREADY
from tests.integration.migrating import (
    MIGRATIONS,
    OURS,
    apply,
    forget,
    project_with,
    push,
    refused,
)
from tests.integration.queue_calls import add, claim, complete, row
from worker.local.packages import Packages
from worker.local.postgres import SUPERUSER, as_role
from worker.local.supabase_cli import run_cli

BLOCK = re.MULTILINE | re.DOTALL
SHAPE = """
select table_name, column_name, data_type, is_nullable, column_default
from information_schema.columns
where table_schema = 'public' and table_name in ('therapy_sessions', 'c3d_technical_data')
order by table_name, ordinal_position
"""
EVERYTHING = """
select 'column' as kind, table_name || '.' || column_name as name, data_type as what
from information_schema.columns where table_schema = 'public'
union all
select 'constraint', conname, pg_get_constraintdef(oid)
from pg_constraint where connamespace = 'public'::regnamespace
union all
select 'index', indexname, indexdef from pg_indexes where schemaname = 'public'
union all
select 'function', proname, pg_get_functiondef(oid)
from pg_proc where pronamespace = 'public'::regnamespace
union all
select 'grant', relname, relacl::text from pg_class where relnamespace = 'public'::regnamespace
order by 1, 2, 3
"""


async def test_a_new_project_gets_the_two_tables_column_for_column(migrated_database: str) -> None:
    columns = {
        (row["table_name"], row["column_name"]): (row["data_type"], row["is_nullable"] == "NO")
        for row in await rows(migrated_database, SHAPE)
    }
    instant = "timestamp with time zone"
    assert columns == {
        ("therapy_sessions", "id"): ("uuid", True),
        ("therapy_sessions", "file_path"): ("text", True),
        ("therapy_sessions", "file_hash"): ("text", True),
        ("therapy_sessions", "file_size_bytes"): ("integer", True),
        ("therapy_sessions", "patient_id"): ("text", False),
        ("therapy_sessions", "processing_status"): ("text", True),
        ("therapy_sessions", "original_filename"): ("text", True),
        ("therapy_sessions", "game_metadata"): ("jsonb", False),
        ("therapy_sessions", "analytics_cache"): ("jsonb", False),
        ("therapy_sessions", "cache_hits"): ("integer", False),
        ("therapy_sessions", "created_at"): (instant, False),
        ("therapy_sessions", "updated_at"): (instant, False),
        ("therapy_sessions", "last_accessed_at"): (instant, False),
        ("therapy_sessions", "processing_attempts"): ("integer", True),
        ("therapy_sessions", "processing_due_at"): (instant, False),
        ("therapy_sessions", "processing_claim"): ("uuid", False),
        ("therapy_sessions", "processing_error"): ("text", False),
        ("therapy_sessions", "processing_abandoned"): ("boolean", True),
        ("therapy_sessions", "processing_queued_at"): (instant, False),
        ("therapy_sessions", "read_mode"): ("text", False),
        ("therapy_sessions", "read_by_version"): ("text", False),
        ("therapy_sessions", "hash_measured_at"): ("timestamp with time zone", False),
        ("therapy_sessions", "patient_code"): ("text", False),
        ("c3d_technical_data", "session_id"): ("uuid", True),
        ("c3d_technical_data", "original_sampling_rate"): ("real", False),
        ("c3d_technical_data", "original_duration_seconds"): ("real", False),
        ("c3d_technical_data", "original_sample_count"): ("integer", False),
        ("c3d_technical_data", "channel_count"): ("integer", False),
        ("c3d_technical_data", "channel_names"): ("ARRAY", False),
        ("c3d_technical_data", "sampling_rate"): ("real", False),
        ("c3d_technical_data", "duration_seconds"): ("real", False),
        ("c3d_technical_data", "frame_count"): ("integer", False),
        ("c3d_technical_data", "extracted_at"): (instant, False),
    }


async def test_defaults_give_a_new_session_everything_but_its_file(migrated_database: str) -> None:
    async with connected(migrated_database) as database:
        session = await add(database)
        found = await database.fetchrow("select * from therapy_sessions where id = $1", session)
    assert found is not None
    assert (found["processing_status"], found["cache_hits"]) == ("pending", 0)
    assert (found["game_metadata"], found["analytics_cache"]) == ("{}", "{}")
    for name in ("created_at", "updated_at", "last_accessed_at", "processing_due_at"):
        assert found[name] is not None


async def test_other_programs_may_write_a_content_hash_in_upper_case(
    migrated_database: str,
) -> None:
    async with connected(migrated_database, role="service_role") as database:
        session = await add(database, file_hash="AB" * 32)
        assert (await row(database, session))["file_hash"] == "ab" * 32
        with pytest.raises(asyncpg.UniqueViolationError, match="file_hash"):
            await add(database, file_hash="aB" * 32)
        other = await add(database, file_hash="Path and size")
        assert (await row(database, other))["file_hash"] == "Path and size"
        await database.execute(
            "update therapy_sessions set file_hash = $1 where id = $2", "CD" * 32, other
        )
        assert (await row(database, other))["file_hash"] == "cd" * 32
        for content_hash in ("cd" * 32, "CD" * 32):
            found = await database.fetchrow("select * from find_session($1, 'a')", content_hash)
            assert found is not None
            assert found["session_id"] == other


async def test_the_technical_row_goes_with_its_session(migrated_database: str) -> None:
    async with connected(migrated_database) as database:
        session = await add(database)
        await database.execute("insert into c3d_technical_data values ($1)", session)
        await database.execute("delete from therapy_sessions where id = $1", session)
        assert await database.fetchval("select count(*) from c3d_technical_data") == 0


async def test_pushing_again_after_the_history_was_lost_changes_nothing(
    migrated_database: str, packages: Packages
) -> None:
    async with connected(migrated_database) as database:
        done, waiting, held = [await add(database) for _ in range(3)]
        claim_id = uuid4()
        await claim(database, claim_id, 1)
        await complete(database, done, claim_id)
        await claim(database, uuid4(), 1)
        sessions = await database.fetch("select * from therapy_sessions order by id")
    assert {row["processing_status"] for row in sessions} == {"completed", "processing", "pending"}
    assert {row["id"] for row in sessions} == {done, waiting, held}
    before = await rows(migrated_database, EVERYTHING)
    await forget(migrated_database)
    push(migrated_database, packages)
    assert await rows(migrated_database, EVERYTHING) == before
    assert await rows(migrated_database, "select * from therapy_sessions order by id") == [
        dict(row) for row in sessions
    ]


async def test_a_project_with_migrations_of_its_own_takes_ours_beside_them(
    blank_database: CreateDatabase, packages: Packages, tmp_path: Path
) -> None:
    url = await blank_database()
    theirs = {
        "20240101000000_theirs.sql": "create table public.patients (code text primary key);",
        "20270101000000_later.sql": "alter table public.patients add column name text;",
    }
    first = project_with(tmp_path / "first", theirs)
    for name in OURS:
        (first / "supabase" / "migrations" / name).unlink()
    push(url, packages, first)
    arguments = ["db", "push", f"--remote={url}", "--yes", "--include-all"]
    done = run_cli(packages, arguments, project_with(tmp_path / "second", theirs))
    assert done.returncode == 0, done.stderr
    applied = await rows(
        url, "select version from supabase_migrations.schema_migrations order by version"
    )
    expected = sorted([*theirs, *OURS])
    assert [row["version"] for row in applied] == [name[:14] for name in expected]


async def test_a_session_from_upload_to_technical_row_on_postgresql_15(
    blank_database_15: CreateDatabase, packages: Packages
) -> None:
    url = await blank_database_15()
    await execute(url, JSON_NAMES)
    push(url, packages)
    await forget(url)
    push(url, packages)
    assert len(await rows(url, "select * from c3d_technical_data")) == 3
    async with connected(url, role="service_role") as database:
        claim_id = uuid4()
        for session in await claim(database, claim_id):
            assert await complete(database, session, claim_id, content_hash="ef" * 32)
        states = await database.fetch("select state, count(*) from session_overview group by 1")
    assert dict(map(tuple, states)) == {
        "completed": 1,
        "failed": 3,
        "taken over: no worker has read it": 2,
    }


async def test_a_busy_table_stops_the_migration_in_seconds_and_not_the_clinic(
    blank_database: CreateDatabase, packages: Packages
) -> None:
    url = await blank_database()
    await execute(url, SPLIT_ALREADY)
    async with connected(url) as somebody, somebody.transaction():
        await somebody.execute("select * from therapy_sessions")
        assert "lock timeout" in refused(url, packages)


async def test_the_cli_finds_nothing_to_warn_of(migrated_database: str, packages: Packages) -> None:
    arguments = ["--type", "all", "--level", "warn", "--fail-on", "warn"]
    command = ["db", "advisors", f"--remote={migrated_database}", *arguments]
    done = run_cli(packages, command, PROJECT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_says_its_reason_and_waits_for_no_lock() -> None:
    for name in OURS:
        sql = (MIGRATIONS / name).read_text()
        assert name[:14].isdigit()
        assert name[14] == "_"
        assert sql.startswith("--")
        assert "\n-- Reason: " in sql, name
        assert "\n\nset local lock_timeout = '5s';\n" in sql, name
        assert "cascade;" not in sql.lower(), name


def test_every_function_stands_in_one_file_with_its_access_and_its_words_below() -> None:
    sql = "".join((MIGRATIONS / name).read_text() for name in OURS)
    functions = re.findall(
        r"^create or replace function public\.(\w+).*?^\$\$;\n\n(\w+ \w+)", sql, BLOCK
    )
    assert {follows for _, follows in functions} == {"revoke execute"}
    names = [name for name, _ in functions]
    assert len(names) == len(set(names)) == sql.count("comment on function public.")


async def test_a_completed_session_has_a_value_for_every_technical_column(
    migrated_database: str,
) -> None:
    (found,) = await rows(
        migrated_database,
        "select array_agg(attname::text order by attnum) as columns, "
        "technical_columns() as technical from pg_attribute "
        "where attrelid = 'c3d_technical_data'::regclass and attnum > 0",
    )
    assert found["columns"] == ["session_id", *found["technical"], "extracted_at"]


def test_the_configuration_names_the_local_stacks_ports() -> None:
    config = tomllib.loads((PROJECT / "supabase" / "config.toml").read_text())
    assert config["api"] == {"port": 54321, "schemas": ["public"], "auto_expose_new_tables": False}
    assert config["db"] == {"port": 54322, "major_version": 17}


async def test_the_buckets_are_private_and_new_sessions_are_published(
    migrated_database: str,
) -> None:
    buckets = await rows(migrated_database, "select * from storage.buckets order by id")
    assert [(each["id"], each["name"], each["public"]) for each in buckets] == [
        ("c3d-files", "c3d-files", False),
        ("c3d-previews", "c3d-previews", False),
    ]
    published = await rows(migrated_database, "select tablename from pg_publication_tables")
    assert {row["tablename"] for row in published} == {"therapy_sessions", "worker_bells"}


@pytest.mark.parametrize(
    "publication",  # absent, everything, or without inserts
    [
        "drop publication supabase_realtime",
        "drop publication supabase_realtime; create publication supabase_realtime for all tables",
        "alter publication supabase_realtime set (publish = 'update')",
    ],
)
async def test_any_publication_is_taken_as_it_is(migrated_database: str, publication: str) -> None:
    await execute(as_role(migrated_database, SUPERUSER), publication)
    await apply(migrated_database)
    found = await rows(migrated_database, "select tablename from pg_publication_tables")
    assert {row["tablename"] for row in found} >= {"therapy_sessions", "worker_bells"}
