"""A dry run says what a push would do to a real database, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.conftest import CreateDatabase
from tests.integration.command_line import command
from tests.integration.conftest import name_of
from tests.integration.databases import execute, rows
from tests.integration.dry_runs import IN_USE, dry_run, everything, flat, heard_while
from tests.integration.legacy_shapes import (
    ARRAY_NAMES,
    INCOMPLETE,
    JSON_NAMES,
    SPLIT_ALREADY,
    TWO_SPELLINGS,
)
from tests.integration.migrating import OURS, push
from worker.commands.migrations import migration_files
from worker.dry_run.attempt import Attempt, attempt
from worker.dry_run.migrations import Migration
from worker.local.packages import Packages
from worker.local.stack import StackInfo

ALL = [Migration(file.name, file.read_text()) for file in migration_files()]


async def found_in(url: str, *, only_read: bool = False) -> Attempt:
    return await attempt(SecretStr(url), ALL, only_read=only_read)


async def test_an_empty_database_gets_a_short_answer(
    stack: StackInfo, blank_database: CreateDatabase, tmp_path: Path
) -> None:
    url = await blank_database()
    code, printed, complained = await dry_run(stack, url, tmp_path)
    assert (code, complained) == (0, "")
    assert f"{len(OURS)} migrations were tried" in flat(printed)
    assert "none stops. Everything was taken back. The database has neither" in flat(printed)
    assert len(printed.splitlines()) < 12
    assert await rows(url, "select to_regclass('therapy_sessions') as made") == [{"made": None}]


async def test_a_migrated_database_gets_a_short_answer(
    stack: StackInfo, migrated_database: str, tmp_path: Path
) -> None:
    code, printed, _ = await dry_run(stack, migrated_database, tmp_path)
    assert code == 0
    assert f"Nothing to do in the database {name_of(migrated_database)}," in flat(printed)
    assert f"all {len(OURS)} migrations are applied" in flat(printed)


async def test_migrations_that_are_applied_are_skipped(
    blank_database: CreateDatabase, packages: Packages
) -> None:
    url = await blank_database()
    push(url, packages)
    versions = ", ".join(f"'{name[:14]}'" for name in OURS[-3:])
    await execute(
        url, f"delete from supabase_migrations.schema_migrations where version in ({versions})"
    )
    found = await found_in(url)
    assert (found.pending, found.applied) == (tuple(OURS[-3:]), len(OURS) - 3)
    assert found.stop is None
    # This project's own are not somebody else's.
    assert {each.kind for each in found.dependents} == {"publication"}


async def test_what_would_change_is_counted_and_named(
    stack: StackInfo, blank_database: CreateDatabase, tmp_path: Path
) -> None:
    url = await blank_database()
    await execute(url, JSON_NAMES)
    code, printed, _ = await dry_run(stack, url, tmp_path)
    assert code == 0
    said = flat(printed)
    assert "sessions: 6, as before" in said
    assert "status: 1 of status completed becomes pending" in said
    assert "rows of c3d_technical_data: 3 would be made, 3 in all" in said
    assert "taken over: values of 2 completed sessions, which no worker has read; after the" in said
    assert "columns moved to c3d_technical_data: channel_count, channel_names," in said
    assert "columns of therapy_sessions added: hash_measured_at, patient_code," in said
    assert re.search(r"indexes: new [^:]*\btherapy_sessions_patient_code\b", said)
    assert "dropped sessions_by_path_and_count, sessions_by_rate" in said
    assert "NOTICE of 20261124000300_split_technical_columns.sql" in said
    assert "Technical values moved: 3 sessions" in said
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(
    "shape", [JSON_NAMES, ARRAY_NAMES, SPLIT_ALREADY, IN_USE, INCOMPLETE, "select"]
)
async def test_nothing_is_left_behind_and_realtime_hears_nothing(
    blank_database: CreateDatabase, shape: str
) -> None:
    url = await blank_database()
    await execute(url, shape)
    before = await everything(url)
    assert await heard_while(url, asyncio.ensure_future(found_in(url))) == []
    assert await everything(url) == before


async def test_warnings_that_the_cli_does_not_show_are_told(
    blank_database: CreateDatabase, packages: Packages
) -> None:
    url = await blank_database()
    await execute(url, SPLIT_ALREADY)
    found = await found_in(url)
    kept = [each for each in found.said if "left as they are" in each.said]
    assert [each.migration for each in kept] == ["20261124000900_access.sql"]
    assert "- policy own_sessions on therapy_sessions" in kept[0].said
    assert found.changes
    assert set(found.changes.statuses) == {
        ("completed", "pending", 1),
        ("reprocessing", "pending", 1),
        ("it's odd", "pending", 1),
        (None, "pending", 1),
    }
    assert "left as they are" not in push(url, packages)


async def test_what_depends_on_the_tables_is_listed(
    stack: StackInfo, blank_database: CreateDatabase, tmp_path: Path
) -> None:
    url = await blank_database()
    await execute(url, IN_USE)
    found = await found_in(url)
    assert [(each.kind, each.name) for each in found.dependents] == [
        ("policy", "files_of_sessions on storage.objects"),
        ("policy", "therapists_see on public.therapy_sessions"),
        ("foreign key", "performance_scores_session_id_fkey of performance_scores"),
        ("foreign key", "therapy_sessions_patient_code_fkey of therapy_sessions"),
        ("view", "recent"),
        ("trigger", "log_session on therapy_sessions"),
        ("function", "count_sessions()"),
        ("publication", "watched"),
    ]
    _, printed, _ = await dry_run(stack, url, tmp_path)
    assert "ON DELETE CASCADE" in printed
    assert max(map(len, printed.splitlines())) <= 80


async def test_a_stop_is_told_with_its_cure_and_that_others_may_follow(
    stack: StackInfo, blank_database: CreateDatabase, tmp_path: Path
) -> None:
    url = await blank_database()
    await execute(url, TWO_SPELLINGS)
    code, printed, complained = await dry_run(stack, url, tmp_path)
    assert (code, complained) == (1, "")
    said = flat(printed)
    assert "What would stop 20261124000100_therapy_sessions.sql" in said
    assert "2 of 4 sessions share their file_hash with another: keep one of each" in said
    assert f"The {len(OURS) - 1} migrations after it were not reached, and others may stop" in said
    assert max(map(len, printed.splitlines())) <= 80


async def test_a_late_stop_shows_what_the_migrations_before_it_would_change(
    blank_database: CreateDatabase,
) -> None:
    url = await blank_database()
    await execute(url, JSON_NAMES)
    await execute(url, "create view public.rates as select frame_count from therapy_sessions")
    found = await found_in(url)
    assert found.stop
    assert found.stop.migration == "20261124000300_split_technical_columns.sql"
    assert "- view rates depends on column frame_count" in found.stop.said
    assert found.changes
    assert "c3d_technical_data" in found.changes.kinds["relations"].added
    assert found.changes.technical_rows == (None, 0)


async def test_the_name_of_what_stops_is_right_when_a_migration_fails_in_the_middle(
    blank_database: CreateDatabase,
) -> None:
    url = await blank_database()
    await execute(
        url, "create table c3d_technical_data (session_id uuid unique, channel_names json)"
    )
    found = await found_in(url)
    assert found.stop
    assert found.stop.migration == "20261124000200_technical_data.sql"
    assert "channel_names are not text[]" in found.stop.said


async def test_the_checks_without_locks_find_the_same_stop(
    stack: StackInfo, blank_database: CreateDatabase, tmp_path: Path
) -> None:
    url = await blank_database()
    await execute(url, TWO_SPELLINGS)
    code, printed, _ = await dry_run(stack, url, tmp_path, "--without-locks")
    assert code == 1
    assert "2 of 4 sessions share their file_hash" in flat(printed)
    assert "They were not tried" in flat(printed)
    assert "What would change" not in printed


async def test_it_runs_on_the_oldest_postgresql_too(blank_database_15: CreateDatabase) -> None:
    url = await blank_database_15()
    await execute(url, IN_USE)
    before = await everything(url)
    found = await found_in(url)
    assert found.server.startswith("15.")
    assert found.stop is None
    assert [column.column for column in found.required] == ["session_code", "processing_version"]
    assert await everything(url) == before


@pytest.mark.parametrize(
    "options", [("--dry-run", "--to", "migrations"), ("--without-locks",)], ids=" ".join
)
async def test_options_that_contradict_each_other_do_nothing(
    stack: StackInfo, tmp_path: Path, options: tuple[str, ...]
) -> None:
    code, printed, complained = await command(stack, tmp_path, "migrations", *options)
    assert (code, printed) == (2, "")
    assert "--dry-run" in complained
    assert await asyncio.to_thread(lambda: [*tmp_path.iterdir()]) == []
