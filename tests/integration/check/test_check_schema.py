"""Findings on what the migrations made: tables, functions, and their version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.conftest import RunningStack
from tests.integration.checking import broken, found_in
from tests.integration.command_line import command
from tests.integration.migrating import MIGRATIONS as FOLDER
from tests.integration.migrating import OURS
from worker.backend.queue_look import SCHEMA_VERSION
from worker.check.findings import Check, Verdict
from worker.check.schema import MIGRATIONS, schema
from worker.local.stack import StackInfo

SESSIONS, BELLS = "public.therapy_sessions", "public.worker_bells"
ALL_CHANGES = "set (publish = 'insert, update, delete, truncate')"


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    """A stack without any migration."""
    running = RunningStack(tmp_path_factory.mktemp("blank") / "data")
    yield running.info
    running.end()


def test_every_table_and_function_of_the_migrations_is_looked_for() -> None:
    made = {
        name: set(
            re.findall(
                r"^create (?:or replace function|table if not exists|or replace view) "
                r"public\.(\w+)|^ +create table public\.(\w+)",
                (FOLDER / name).read_text(),
                re.MULTILINE,
            )
        )
        for name in OURS
    }
    made = {name: {one or other for one, other in pairs} for name, pairs in made.items()}
    looked_for: set[str] = set()
    for migration in MIGRATIONS:
        names = {*migration.relations, *migration.functions, *migration.hidden}
        assert names == made[migration.name], migration.name
        looked_for |= names
    assert set().union(*made.values()) == looked_for
    assert len({migration.name for migration in MIGRATIONS}) == len(MIGRATIONS)


def test_the_version_is_that_of_the_last_migration() -> None:
    assert max(path.name for path in FOLDER.glob("*.sql")).startswith(SCHEMA_VERSION)
    (made,) = FOLDER.glob("*_schema_version.sql")
    assert f"select '{SCHEMA_VERSION}'" in made.read_text()


async def test_functions_of_another_version(own_stack: StackInfo) -> None:
    replaced = """create or replace function public.schema_version() returns text
                  language sql immutable set search_path = '' as $$ select '{}' $$"""
    async with broken(own_stack, replaced.format("1"), replaced.format(SCHEMA_VERSION)):
        (line,) = (await found_in(own_stack))[Check.SCHEMA]
    assert line.verdict is Verdict.BAD
    assert line.said.startswith("The database has version 1 of this project's functions")


async def test_without_any_migration_everything_missing_is_named(
    blank: StackInfo, tmp_path: Path
) -> None:
    found = await found_in(blank)
    said = " ".join(line.said for line in found[Check.SCHEMA])
    for migration in MIGRATIONS:
        for name in (*migration.relations, *migration.functions):
            assert name in said
    assert {line.verdict for line in found[Check.SCHEMA]} == {Verdict.BAD}
    for line in found[Check.SCHEMA]:
        assert "supabase db push" in line.cure
        assert "c3d-worker migrations` writes them" in line.cure
    (bucket,) = found[Check.BUCKET]
    assert (bucket.verdict, "supabase db push" in bucket.cure) == (Verdict.BAD, True)
    for name in (Check.CLOCK, Check.PUBLICATION, Check.REALTIME, Check.ACCESS, Check.WEBHOOK):
        assert found[name][0].verdict is Verdict.UNCHECKED
    code, printed, complained = await command(blank, tmp_path, "check")
    assert (code, complained) == (1, "")
    assert "20261124000100_therapy_sessions.sql is not applied: therapy_sessions" in printed


def test_where_the_api_says_nothing_the_missing_report_is_named() -> None:
    (line,) = schema(None, None)
    expected = (
        "20261124001600_installation_report.sql is not applied: installation_report is missing."
    )
    assert line.said == expected


async def test_one_missing_function_names_its_migration(own_stack: StackInfo) -> None:
    hide = "alter function public.find_session(text, text, text) rename to hidden"
    show = "alter function public.hidden(text, text, text) rename to find_session"
    async with broken(own_stack, hide, show):
        (line,) = (await found_in(own_stack))[Check.SCHEMA]
    assert (
        line.said == "20261124001200_existing_sessions.sql is not applied: find_session is missing."
    )


async def test_a_function_that_only_uploads_call_is_looked_for_too(own_stack: StackInfo) -> None:
    hide = "alter function public.announce_upload() rename to hidden"
    show = "alter function public.hidden() rename to announce_upload"
    async with broken(own_stack, hide, show):
        (line,) = (await found_in(own_stack))[Check.SCHEMA]
    assert line.said.startswith("20261124001300_upload_trigger.sql is not applied: announce_upload")


async def test_an_old_column_means_that_the_split_did_not_run(own_stack: StackInfo) -> None:
    async with broken(
        own_stack,
        f"alter table {SESSIONS} add column frame_count integer",
        f"alter table {SESSIONS} drop column frame_count",
    ):
        (line,) = (await found_in(own_stack))[Check.SCHEMA]
    assert line.said == (
        "20261124000300_split_technical_columns.sql is not applied: "
        "therapy_sessions still has frame_count."
    )


async def test_a_missing_column_of_the_queue_is_named(own_stack: StackInfo) -> None:
    async with broken(
        own_stack,
        f"alter table {SESSIONS} rename column processing_claim to hidden",
        f"alter table {SESSIONS} rename column hidden to processing_claim",
    ):
        (line,) = (await found_in(own_stack))[Check.SCHEMA]
    assert "20261124000400_queue.sql" in line.said
    assert "therapy_sessions.processing_claim is missing" in line.said


def withheld(stack: StackInfo, function: str) -> AbstractAsyncContextManager[None]:
    """Let the worker's role not call a function."""
    which = f"execute on function public.{function}()"
    return broken(stack, f"revoke {which} from service_role", f"grant {which} to service_role")


async def test_what_the_api_does_not_serve_is_named(own_stack: StackInfo) -> None:
    async with withheld(own_stack, "queue_report"):
        (line,) = (await found_in(own_stack))[Check.SCHEMA]
    assert line.said == "The API does not serve queue_report of 20261124001500_queue_report.sql."
    assert "notify pgrst, 'reload schema'" in line.cure


async def test_a_report_that_is_refused_says_so(own_stack: StackInfo) -> None:
    async with withheld(own_stack, "webhook_report"):
        found = await found_in(own_stack)
    assert "permission denied" in found[Check.SCHEMA][0].said
    assert found[Check.ACCESS][0].verdict is Verdict.UNCHECKED
    assert found[Check.REALTIME][0].verdict is Verdict.GOOD
