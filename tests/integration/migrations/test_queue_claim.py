"""What `claim_sessions` promises: the right sessions, once, and none for ever."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from tests.integration.databases import Connection
from tests.integration.queue_calls import (
    MAX_ATTEMPTS,
    add,
    backdate,
    claim,
    fail,
    held,
    release,
    row,
)


async def test_claiming_holds_a_session_under_a_lease_and_counts_the_attempt(
    database: Connection,
) -> None:
    session, claim_id = await held(database)
    now = await database.fetchval("select clock_timestamp()")
    found = await row(database, session)
    assert found["processing_status"] == "processing"
    assert found["processing_attempts"] == 1
    assert found["processing_claim"] == claim_id
    assert timedelta(seconds=55) < found["processing_due_at"] - now <= timedelta(seconds=60)


async def test_claiming_returns_what_a_worker_needs_to_know(database: Connection) -> None:
    session = await add(database, file_path="P005/a.c3d", original_filename="a.c3d")
    (claimed,) = await database.fetch("select * from claim_sessions($1, 1, 60, 3)", uuid4())
    found = await row(database, session)
    said = dict(claimed)
    assert said.pop("abandoned") is False
    assert said.pop("object_path") == "P005/a.c3d"
    assert said.pop("hash_measured") is True
    assert said.pop("next_waiting_since") is said.pop("next_abandoned_since") is None
    assert said == {name: found[name] for name in said}
    assert list(claimed.keys()) == [
        "id",
        "file_path",
        "object_path",
        "file_hash",
        "hash_measured",
        "file_size_bytes",
        "original_filename",
        "processing_attempts",
        "processing_due_at",
        "abandoned",
        "next_waiting_since",
        "next_abandoned_since",
    ]


async def test_a_repeated_claim_returns_the_same_sessions_and_counts_no_attempt(
    database: Connection,
) -> None:
    sessions = {await add(database) for _ in range(3)}
    claim_id = uuid4()
    first = await claim(database, claim_id, 2)
    assert await claim(database, claim_id, 2) == first
    assert [(await row(database, session))["processing_attempts"] for session in first] == [1, 1]
    (left,) = await claim(database, uuid4(), 2)
    assert {*first, left} == sessions


async def test_the_longest_due_session_is_claimed_first(database: Connection) -> None:
    sessions = [await add(database) for _ in range(3)]
    for session, seconds in zip(sessions, (10, 30, 20), strict=True):
        await backdate(database, session, seconds)
    expected = [sessions[1], sessions[2], sessions[0]]
    assert [(await claim(database, uuid4(), 1))[0] for _ in sessions] == expected


async def test_a_session_that_is_due_later_is_left_alone(database: Connection) -> None:
    session, claim_id = await held(database)
    await fail(database, session, claim_id, retry_seconds=3600)
    assert await claim(database, uuid4()) == []


async def test_a_pending_session_without_a_due_time_is_due_at_once(database: Connection) -> None:
    later = await add(database)
    session = await add(database, processing_due_at=None)
    assert await claim(database, uuid4(), 1) == [session]
    assert await claim(database, uuid4(), 1) == [later]


@pytest.mark.parametrize("status", ["completed", "failed", "skipped"])
async def test_a_finished_session_is_never_claimed(database: Connection, status: str) -> None:
    await add(database, processing_status=status)
    assert await claim(database, uuid4()) == []


async def test_a_session_set_to_pending_by_hand_is_tried_again(database: Connection) -> None:
    session, old_claim = await held(database)
    await database.execute(
        "update therapy_sessions set processing_status = 'pending', processing_attempts = $2, "
        "processing_due_at = null where id = $1",
        session,
        MAX_ATTEMPTS + 4,
    )
    assert await fail(database, session, old_claim, retry_seconds=0) == "pending"
    assert await claim(database, uuid4()) == [session]
    assert await fail(database, session, old_claim) == "lost"


async def test_a_session_whose_lease_ran_out_is_claimed_beside_the_batch(
    database: Connection,
) -> None:
    abandoned, _ = await held(database)
    waiting = [await add(database) for _ in range(3)]
    await backdate(database, abandoned, 60)
    new_claim = uuid4()
    assert set(await claim(database, new_claim, 2)) == {abandoned, *waiting[:2]}
    found = await row(database, abandoned)
    assert (found["processing_attempts"], found["processing_claim"]) == (2, new_claim)


async def test_abandoned_sessions_come_one_at_a_time_the_longest_abandoned_first(
    database: Connection,
) -> None:
    abandoned = [await add(database) for _ in range(3)]
    waiting = await add(database)
    await claim(database, uuid4(), 3)
    for session, seconds in zip(abandoned, (10, 30, 20), strict=True):
        await backdate(database, session, seconds)
    claimed = [set(await claim(database, uuid4())) for _ in range(4)]
    assert claimed == [{abandoned[1], waiting}, {abandoned[2]}, {abandoned[0]}, set()]


async def test_a_worker_that_has_an_abandoned_session_gets_no_other(database: Connection) -> None:
    abandoned, _ = await held(database)
    waiting = await add(database)
    await backdate(database, abandoned, 60)
    assert await claim(database, uuid4(), with_abandoned=False) == [waiting]
    assert await claim(database, uuid4(), with_abandoned=False) == []
    assert await claim(database, uuid4()) == [abandoned]


async def test_a_repeated_claim_knows_which_session_was_abandoned(database: Connection) -> None:
    """Neither how often a session was claimed, nor that it was claimed last, says so."""
    abandoned, _ = await held(database)
    await backdate(database, abandoned, 60)
    retried = await add(database, processing_attempts=3)
    fresh = await add(database)
    query = "select id, processing_attempts, abandoned from claim_sessions($1, 10, 60, 9)"
    claim_id = uuid4()
    first = [tuple(each) for each in await database.fetch(query, claim_id)]
    assert first == [(abandoned, 2, True), (retried, 4, False), (fresh, 1, False)]
    for repeated in (query, query.replace("9)", "9, false)")):
        assert [tuple(each) for each in await database.fetch(repeated, claim_id)] == first


async def test_a_session_is_not_abandoned_for_ever(database: Connection) -> None:
    session, _ = await held(database)
    await backdate(database, session, 1)
    claim_id = uuid4()
    await claim(database, claim_id)
    assert (await row(database, session))["processing_abandoned"]
    await release(database, [claim_id], [session])
    await claim(database, uuid4())
    assert not (await row(database, session))["processing_abandoned"]


async def test_a_repeated_claim_passes_by_a_session_that_somebody_has_locked(
    database: Connection, second: Connection
) -> None:
    sessions = {await add(database) for _ in range(3)}
    claim_id = uuid4()
    await claim(database, claim_id)
    async with second.transaction():
        await second.execute("select from therapy_sessions limit 1 for update")
        async with asyncio.timeout(1):
            assert set(await claim(database, claim_id)) == sessions


async def test_a_session_somebody_has_locked_holds_up_no_abandoned_one(
    database: Connection, second: Connection
) -> None:
    abandoned, _ = await held(database)
    locked = await add(database)
    await backdate(database, locked, 60)
    await backdate(database, abandoned, 30)
    async with second.transaction():
        await second.execute("select from therapy_sessions where id = $1 for update", locked)
        assert await claim(database, uuid4()) == [abandoned]


async def test_a_session_that_outlived_its_workers_fails_with_a_cure(database: Connection) -> None:
    session, _ = await held(database)
    for _ in range(MAX_ATTEMPTS - 1):
        await backdate(database, session, 1)
        assert await claim(database, uuid4()) == [session]
    await backdate(database, session, 1)
    neighbour = await add(database)
    assert await claim(database, uuid4()) == [neighbour]
    found = await row(database, session)
    assert found["processing_status"] == "failed"
    assert found["processing_due_at"] is None
    assert found["processing_error"].startswith("worker_died: ")
    assert f"after {MAX_ATTEMPTS} attempts" in found["processing_error"]
    assert "requeue" in found["processing_error"]


async def test_a_lease_that_still_runs_is_respected_whatever_its_attempts(
    database: Connection,
) -> None:
    session, _ = await held(database, processing_attempts=MAX_ATTEMPTS + 1)
    assert await claim(database, uuid4()) == []
    assert (await row(database, session))["processing_status"] == "processing"


@pytest.mark.parametrize(
    "arguments", [(None, 1, 60, 3), (uuid4(), 0, 60, 3), (uuid4(), 1, 0, 3), (uuid4(), 1, 60, 0)]
)
async def test_senseless_arguments_are_refused(
    database: Connection, arguments: tuple[object, ...]
) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="claim_sessions needs a claim"):
        await database.fetch("select * from claim_sessions($1, $2, $3, $4)", *arguments)


async def test_claiming_reads_the_partial_index_and_never_the_whole_table(
    database: Connection,
) -> None:
    await database.execute(
        "insert into therapy_sessions "
        "(file_path, file_hash, file_size_bytes, original_filename, processing_status) "
        "select n || '.c3d', 'hash ' || n, n, n || '.c3d', "
        "(array['completed', 'completed', 'completed', 'failed', 'pending'])[1 + n % 5] "
        "from generate_series(1, 5000) as n"
    )
    await database.execute("analyze therapy_sessions")
    async with database.transaction():
        assert len(await claim(database, uuid4(), 4)) == 4
        assert (
            await database.fetchval(
                "select seq_scan from pg_stat_xact_user_tables where relname = 'therapy_sessions'"
            )
            == 0
        )
        assert (
            await database.fetchval(
                "select pg_stat_get_xact_numscans('therapy_sessions_unfinished'::regclass)"
            )
            >= 3
        )
