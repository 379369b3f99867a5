"""Therapists may read what the worker found of their own patients, where the owner wants it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conftest import CreateDatabase
from tests.integration.application.adopting import SQL
from tests.integration.application.client import (
    ADMIN,
    OTHER_THERAPIST,
    RESEARCHER,
    THERAPIST,
)
from tests.integration.application.shapes import NEWEST
from tests.integration.databases import Connection, connected, execute
from tests.integration.migrating import apply

NOBODY = "00000000-0000-4000-8000-00000000000f"
ALL = len(NEWEST.uploads)
ROWS = {THERAPIST: ALL // 2, OTHER_THERAPIST: ALL // 2, RESEARCHER: ALL, ADMIN: ALL, NOBODY: 0}
ASIDE = "set aside: its row refuses to be changed"
FOUND = """
insert into c3d_technical_data (session_id, channel_count) select id, 4 from therapy_sessions;
update therapy_sessions set processing_status = 'pending';
select set_aside_session(id, 'P0001', 'as it is') from therapy_sessions;
"""
OPEN = """
select c.relname as name, privilege
from pg_class as c,
  unnest(array['select', 'insert', 'update', 'delete', 'truncate']) as privilege,
  unnest(array['anon', 'authenticated']) as role
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
  and c.relname = any ($1) and has_table_privilege(role, c.oid, privilege)
"""
OURS = [
    "c3d_technical_data", "session_overview", "set_aside", "storage_intake", "upload_overview",
    "worker_bells", "worker_settings",
]  # fmt: skip


@pytest_asyncio.fixture
async def url(blank_database: CreateDatabase) -> str:
    """The application's database, migrated, with values that a worker found."""
    made = await blank_database()
    await NEWEST.make(made)
    await apply(made)
    await execute(made, FOUND)
    return made


@pytest_asyncio.fixture
async def opened(url: str) -> str:
    """The same, opened by its owner; twice is as once."""
    for _ in range(2):
        await execute(url, (SQL / "therapists_read.sql").read_text())
    return url


@pytest_asyncio.fixture
async def person(opened: str) -> AsyncIterator[Connection]:
    """A connection that can act as anybody."""
    async with connected(opened, role="authenticated") as connection:
        yield connection


async def become(person: Connection, who: str) -> None:
    claims = f'{{"sub": "{who}", "role": "authenticated"}}'
    await person.execute("select set_config('request.jwt.claims', $1, false)", claims)


@pytest.mark.parametrize(("who", "number"), ROWS.items())
async def test_everybody_reads_what_belongs_to_the_sessions_that_they_may_read(
    person: Connection, who: str, number: int
) -> None:
    await become(person, who)
    sessions = {row["id"] for row in await person.fetch("select id from therapy_sessions")}
    assert len(sessions) == number
    technical = await person.fetch("select * from c3d_technical_data")
    assert {row["session_id"] for row in technical} == sessions
    overview = await person.fetch("select * from session_overview")
    assert {row["session_id"] for row in overview} == sessions
    assert {row["channels"] for row in overview} <= {4}
    assert {row["state"] for row in overview} <= {ASIDE}
    aside = await person.fetch("select session_id, reason from set_aside")
    assert {row["session_id"] for row in aside} == sessions
    assert {row["reason"] for row in aside} == {row["what_to_do"] for row in overview}


@pytest.mark.parametrize(
    "statement",
    [
        "update c3d_technical_data set channel_count = 5",
        "delete from c3d_technical_data",
        "insert into c3d_technical_data (session_id) select id from therapy_sessions",
        "select until from set_aside",
        "delete from set_aside",
        "select * from storage_intake",
        "select * from upload_overview",
        "select * from worker_settings",
        "select claim_sessions(gen_random_uuid(), 1, 60, 5)",
    ],
)
async def test_nothing_more_is_opened(person: Connection, statement: str) -> None:
    await become(person, THERAPIST)
    with pytest.raises(Exception, match="permission denied"):
        await person.execute(statement)


async def test_before_the_owner_opens_it_nobody_reads_anything(url: str) -> None:
    async with connected(url) as owner:
        assert await owner.fetch(OPEN, OURS) == []


async def test_the_tables_are_opened_for_reading_only_and_not_for_strangers(opened: str) -> None:
    async with connected(opened) as owner:
        found = {(row["name"], row["privilege"]) for row in await owner.fetch(OPEN, OURS)}
    assert found == {("c3d_technical_data", "select"), ("session_overview", "select")}


@pytest.mark.parametrize("relation", OURS)
async def test_anon_reads_nothing(opened: str, relation: str) -> None:
    async with connected(opened, role="anon") as anon:
        with pytest.raises(Exception, match="permission denied"):
            await anon.fetch(f"select 1 from {relation}")
