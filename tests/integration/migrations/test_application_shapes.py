"""Each `therapy_sessions` that the application has had is taken over, value by value, or stops."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from tests.conftest import CreateDatabase
from tests.integration.application.adopting import SQL
from tests.integration.application.shapes import (
    FIRST,
    JSONB_NAMES,
    MIGRATABLE,
    NEWEST,
    SCHEMA,
    Shape,
)
from tests.integration.databases import execute, rows
from tests.integration.legacy_shapes import TECHNICAL_COLUMNS
from tests.integration.migrating import forget, push, refused
from worker.commands.migrations import migration_files
from worker.dry_run.attempt import Attempt, attempt
from worker.dry_run.migrations import Migration
from worker.local.packages import Packages
from worker.local.postgres import SUPERUSER, as_role

ALL = [Migration(file.name, file.read_text()) for file in migration_files()]
TABLES = """
select c.relname as name from pg_class as c
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' order by 1
"""
POLICIES = """
select schemaname, tablename, policyname, roles::text, cmd, qual, with_check from pg_policies
where policyname !~ 'service_role$' order by 1, 2, 3
"""
TECHNICAL = """
select to_jsonb(t) - 'session_id' - 'extracted_at' as values, s.id::text
from c3d_technical_data as t join therapy_sessions as s on s.id = t.session_id
"""
TAKEN_OVER = "select requeued from requeue_sessions('migrated', 'tried', dry_run => true)"
Table = dict[str, dict[str, Any]]  # its rows, by their keys


@dataclass(frozen=True, slots=True)
class Pushed:
    """A database of the application after the push, and what it was before."""

    shape: Shape
    url: str
    before: dict[str, Table]
    policies: list[dict[str, Any]]
    dry_run: Attempt


@pytest_asyncio.fixture(
    scope="module", loop_scope="session", params=MIGRATABLE, ids=lambda shape: shape.name
)
async def pushed(
    request: pytest.FixtureRequest, blank_database: CreateDatabase, packages: Packages
) -> Pushed:
    """Each shape, tried without keeping anything, copied as the page says, and pushed."""
    shape, url = request.param, await blank_database()
    await shape.make(url)
    before, policies = await tables(url), await rows(url, POLICIES)
    tried = await attempt(SecretStr(url), ALL)
    await execute(url, (SQL / "keep_a_copy.sql").read_text())
    push(url, packages)
    return Pushed(shape, url, before, policies, tried)


async def tables(url: str) -> dict[str, Table]:
    """Return every row of every table."""
    names = [each["name"] for each in await rows(url, TABLES)]
    return {name: await table(url, f"public.{name}") for name in names}


async def table(url: str, name: str) -> Table:
    """Return every row of a table."""
    read = await rows(url, f"select to_jsonb(t) as row from {name} as t")
    found = [json.loads(each["row"]) for each in read]
    return {row.get("id", row.get("session_id", "")): row for row in found}


def said(value: Any) -> Any:
    """Return a technical value, or None where the application had none."""
    return None if value in (0, []) else value


async def test_the_dry_run_stops_nowhere_and_foretells_the_rest(pushed: Pushed) -> None:
    tried = pushed.dry_run
    assert (tried.stop, len(tried.pending)) == (None, len(ALL))
    assert [each.column for each in tried.required] == [*filter(None, [pushed.shape.fills])]
    after = await tables(pushed.url)
    assert tried.changes
    assert tried.changes.sessions == (len(pushed.shape.uploads), len(after["therapy_sessions"]))
    assert tried.changes.technical_rows[1] == len(after["c3d_technical_data"])
    (counted,) = await rows(pushed.url, TAKEN_OVER)
    assert tried.changes.taken_over == counted["requeued"]
    # Only where it had read values does a worker take any over.
    assert bool(counted["requeued"]) == bool(after["c3d_technical_data"])


async def test_every_value_is_kept(pushed: Pushed) -> None:
    shape, url, before = pushed.shape, pushed.url, dict(pushed.before)
    after = await tables(url)

    sessions = before.pop("therapy_sessions")
    assert await table(url, "backup.therapy_sessions") == sessions
    technical = before.pop("c3d_technical_data", {})
    assert {name: after[name] for name in before} == before
    assert {id_: after["c3d_technical_data"][id_] for id_ in technical} == technical
    assert await rows(url, POLICIES) == pushed.policies
    assert len(sessions) == len(shape.uploads)
    for id_, old in sessions.items():
        new = after["therapy_sessions"][id_]
        moved = {name: said(old.pop(name)) for name in TECHNICAL_COLUMNS if name in old}
        if any(moved.values()):
            row = after["c3d_technical_data"][id_]
            assert {name: row[name] for name in moved} == moved
            assert row["extracted_at"] is None
        if new["processing_status"] != old["processing_status"]:
            assert new["processing_status"] == "pending"
            assert old.pop("processing_status") in {"processing", "reprocessing", "completed"}
            old.pop("updated_at")
        if not old.get("original_filename"):
            assert new["original_filename"] == old["file_path"].rpartition("/")[2]
            old.pop("original_filename", None)
        assert {name: new[name] for name in old} == old


async def test_pushed_again_nothing_changes(pushed: Pushed, packages: Packages) -> None:
    before = await tables(pushed.url)
    await forget(pushed.url)
    push(pushed.url, packages)
    assert await tables(pushed.url) == before


async def test_names_of_channels_as_jsonb_stop_it_and_it_goes_on_after_the_cure(
    blank_database: CreateDatabase, packages: Packages
) -> None:
    url = await blank_database()
    await JSONB_NAMES.make(url)
    before = await rows(url, "select * from c3d_technical_data order by session_id")
    assert "its channel_names are not text[]. Rename that table" in refused(url, packages)
    assert await rows(url, "select * from c3d_technical_data order by session_id") == before
    await execute(url, "alter table c3d_technical_data rename to c3d_technical_data_before")
    push(url, packages)
    assert await rows(url, "select * from c3d_technical_data_before order by session_id") == before


async def test_one_recording_uploaded_twice_stops_it_and_it_goes_on_after_the_cure(
    blank_database: CreateDatabase, packages: Packages
) -> None:
    url = await blank_database()
    await FIRST.make(url)
    twice = "update therapy_sessions set file_hash = (select min(file_hash) from therapy_sessions)"
    await execute(url, f"{twice} where file_hash = (select max(file_hash) from therapy_sessions)")
    sessions = len(FIRST.uploads)
    said = refused(url, packages)
    assert f"2 of {sessions} sessions share their file_hash with another: keep one of each" in said
    await execute(
        url,
        "delete from therapy_sessions as s using therapy_sessions as t"
        " where s.file_hash = t.file_hash and s.id > t.id",
    )
    push(url, packages)


async def test_policies_of_storage_stand_in_nothings_way(
    blank_database: CreateDatabase, packages: Packages
) -> None:
    url = await blank_database()
    await NEWEST.make(url)
    await execute(as_role(url, SUPERUSER), (SCHEMA / "storage.sql").read_text())
    before = await rows(url, POLICIES)
    push(url, packages)
    assert await rows(url, POLICIES) == before
