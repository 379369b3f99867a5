"""An owner's trigger that waits for somebody else's lock delays no other session."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID, uuid4

import pytest_asyncio

from tests.integration.databases import Connection, connected
from tests.integration.queue_calls import (
    MAX_ATTEMPTS,
    add,
    backdate,
    claim,
    extend,
    fail,
    release,
    row,
)

LOCKED, OTHERS = 16, 4
MAX_CALL: Final = 2.5  # seconds: of a call that meets rows which wait, however many
COUNTS: Final = """
create table counted (patient text primary key, changes integer not null default 0);
insert into counted (patient) values ('P7');
grant select, update on counted to service_role;
create function count_change() returns trigger language plpgsql as $$
begin
  update public.counted set changes = changes + 1 where patient = new.patient_id;
  return new;
end $$;
create trigger count_change before update on therapy_sessions
for each row when (old.patient_id = 'P7') execute function count_change();
"""


@pytest_asyncio.fixture
async def owner(migrated_database: str) -> AsyncIterator[Connection]:
    """The owner of the table, who has each change of a patient's sessions counted."""
    async with connected(migrated_database) as connection:
        yield connection


@pytest_asyncio.fixture
async def worker(migrated_database: str) -> AsyncIterator[Connection]:
    """A worker's connection; no call on it may hang."""
    async with connected(migrated_database, role="service_role") as connection:
        await connection.execute("set statement_timeout = '8s'")  # as PostgREST does
        yield connection


@asynccontextmanager
async def patient_locked(database: str) -> AsyncIterator[None]:
    """Hold a lock on the row of the patient, as an open transaction in the SQL Editor does."""
    async with connected(database) as other, other.transaction():
        await other.execute("select from counted where patient = 'P7' for update")
        yield


async def sessions(owner: Connection) -> tuple[list[UUID], list[UUID]]:
    """Add the sessions of the patient, due for longest, and those of others."""
    patients = [await add(owner, patient_id="P7") for _ in range(LOCKED)]
    for session in patients:
        await backdate(owner, session, 3600)
    others = [await add(owner) for _ in range(OTHERS)]
    await owner.execute(COUNTS)
    return patients, others


async def test_a_claim_passes_the_sessions_by_and_takes_the_others(
    migrated_database: str, owner: Connection, worker: Connection
) -> None:
    patients, others = await sessions(owner)
    async with patient_locked(migrated_database):
        began = time.monotonic()
        assert set(await claim(worker, uuid4(), LOCKED)) == set(others)
        assert time.monotonic() - began < MAX_CALL
    assert await owner.fetchval("select count(*) from set_aside") == LOCKED
    reason = await owner.fetchval("select reason from set_aside limit 1")
    assert "(55P03)" in reason
    await owner.execute("update set_aside set until = clock_timestamp()")
    assert set(await claim(worker, uuid4(), LOCKED)) == set(patients)
    assert await owner.fetchval("show lock_timeout") == await worker.fetchval("show lock_timeout")


async def test_a_claim_passes_the_worn_out_ones_by(
    migrated_database: str, owner: Connection, worker: Connection
) -> None:
    _, others = await sessions(owner)
    await owner.execute(
        "update therapy_sessions set processing_status = 'processing', processing_attempts = $1,"
        " processing_claim = gen_random_uuid()"
        " where patient_id = 'P7'",
        MAX_ATTEMPTS,
    )
    async with patient_locked(migrated_database):
        began = time.monotonic()
        assert set(await claim(worker, uuid4(), LOCKED)) == set(others)
        assert time.monotonic() - began < MAX_CALL
    assert await owner.fetchval("select count(*) from set_aside") == LOCKED


async def test_what_ends_or_keeps_a_claim_leaves_the_sessions_as_they_are(
    migrated_database: str, owner: Connection, worker: Connection
) -> None:
    patients, others = await sessions(owner)
    claim_id = uuid4()
    assert set(await claim(worker, claim_id, LOCKED + OTHERS)) == {*patients, *others}
    async with patient_locked(migrated_database):
        began = time.monotonic()
        kept = await extend(worker, [claim_id], [*patients, *others])
        assert {session for session, extended in kept.items() if extended} == set(others)
        assert time.monotonic() - began < MAX_CALL
        assert await fail(worker, patients[0], claim_id) == "locked"
        began = time.monotonic()
        assert set(await release(worker, [claim_id], [*patients, *others])) == set(others)
        assert time.monotonic() - began < MAX_CALL
    assert (await row(owner, patients[0]))["processing_status"] == "processing"
    assert await owner.fetchval("select count(*) from set_aside") == 0
    assert set(await release(worker, [claim_id], patients)) >= set(patients)
