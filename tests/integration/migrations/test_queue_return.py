"""What `release_sessions`, `extend_lease` and `requeue_session` promise."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest

from tests.integration.databases import Connection, connected
from tests.integration.queue_calls import (
    add,
    backdate,
    claim,
    complete,
    extend,
    fail,
    held,
    release,
    requeue,
    row,
)


async def test_a_released_session_is_due_now_and_has_its_attempt_back(
    database: Connection,
) -> None:
    session, claim_id = await held(database)
    assert await release(database, [claim_id], [session]) == [session]
    found = await row(database, session)
    assert (found["processing_status"], found["processing_attempts"]) == ("pending", 0)
    assert found["processing_due_at"] <= await database.fetchval("select clock_timestamp()")
    assert await claim(database, uuid4()) == [session]


async def test_releasing_again_says_the_same_and_changes_nothing(database: Connection) -> None:
    sessions = sorted([await add(database), await add(database)])
    claim_id = uuid4()
    await claim(database, claim_id)
    assert await release(database, [claim_id], sessions) == sessions
    before = [await row(database, session) for session in sessions]
    assert await release(database, [claim_id], sessions) == sessions
    assert [await row(database, session) for session in sessions] == before


async def test_a_session_that_went_on_cannot_be_released(database: Connection) -> None:
    session, claim_id = await held(database)
    await release(database, [claim_id], [session])
    winner = uuid4()
    await claim(database, winner)
    before = await row(database, session)
    assert await release(database, [claim_id], [session]) == []
    assert await row(database, session) == before
    await complete(database, session, winner)
    assert await release(database, [winner], [session]) == []


async def test_only_the_named_sessions_are_released(database: Connection) -> None:
    sessions = [await add(database), await add(database)]
    claim_id = uuid4()
    await claim(database, claim_id)
    await release(database, [uuid4(), claim_id], sessions[:1])
    assert (await row(database, sessions[1]))["processing_status"] == "processing"


async def test_extending_moves_the_end_of_every_lease_still_held(database: Connection) -> None:
    first, first_claim = await held(database)
    second, second_claim = await held(database)
    taken, late = await held(database)
    await backdate(database, taken, 1)
    await claim(database, uuid4())
    await backdate(database, first, 30)  # ran out, but nobody took it
    claims, sessions = [first_claim, second_claim, late], [first, second, taken]
    assert await extend(database, claims, sessions, 600) == {first: True, second: True}
    now = await database.fetchval("select clock_timestamp()")
    for session in (first, second):
        left = (await row(database, session))["processing_due_at"] - now
        assert timedelta(seconds=590) < left <= timedelta(seconds=600)


async def test_a_session_that_its_worker_ended_is_not_lost_and_has_no_lease(
    database: Connection,
) -> None:
    claims, sessions = [], []
    for end in (complete, fail, partial(fail, retry_seconds=600)):
        session, claim_id = await held(database)
        await end(database, session, claim_id)
        claims.append(claim_id)
        sessions.append(session)
    released, claim_id = await held(database)
    await release(database, [claim_id], [released])
    claims, sessions = [*claims, claim_id], [*sessions, released]
    before = [await row(database, session) for session in sessions]
    assert await extend(database, claims, sessions) == dict.fromkeys(sessions, True)
    assert [await row(database, session) for session in sessions] == before


async def test_a_session_that_was_requeued_or_deleted_is_lost(database: Connection) -> None:
    requeued, first_claim = await held(database)
    await complete(database, requeued, first_claim)
    await requeue(database, requeued, force=True)
    assert await extend(database, [first_claim], [requeued, uuid4()]) == {}
    assert await extend(database, [], []) == {}


async def test_a_failed_session_is_requeued_from_the_start(database: Connection) -> None:
    session, claim_id = await held(database)
    await fail(database, session, claim_id)
    assert await requeue(database, session) == "pending"
    found = await row(database, session)
    assert (found["processing_status"], found["processing_attempts"]) == ("pending", 0)
    assert found["processing_claim"] is None
    assert found["processing_error"] == "requeued: a new reader"
    assert await requeue(database, session) == "pending"
    assert await row(database, session) == found
    assert await complete(database, session, claim_id) == "lost"
    assert await claim(database, uuid4()) == [session]


async def test_a_completed_session_is_requeued_by_force_only(database: Connection) -> None:
    session, claim_id = await held(database)
    await complete(database, session, claim_id)
    before = await row(database, session)
    assert await requeue(database, session) == "refused"
    assert await row(database, session) == before
    assert await requeue(database, session, force=True) == "pending"


@pytest.mark.parametrize("force", [False, True])
async def test_a_session_in_a_workers_hand_is_not_requeued(
    database: Connection,
    force: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    session, _ = await held(database)
    before = await row(database, session)
    assert await requeue(database, session, force=force) == "refused"
    assert await row(database, session) == before


async def test_a_session_that_does_not_exist_is_missing(database: Connection) -> None:
    assert await requeue(database, uuid4()) == "missing"


async def test_every_change_moves_updated_at(database: Connection) -> None:
    session = await add(database)
    await database.execute("update therapy_sessions set patient_id = 'P1' where id = $1", session)
    found = await row(database, session)
    assert found["updated_at"] > found["created_at"]


async def test_a_hit_of_the_cache_does_not_move_updated_at(database: Connection) -> None:
    session = await add(database)
    before = await row(database, session)
    assert await database.fetchval("select count_cache_hit($1)", session)
    found = await row(database, session)
    assert found["cache_hits"] == 1
    assert found["last_accessed_at"] > before["last_accessed_at"]
    assert found["updated_at"] == before["updated_at"]
    await database.execute(
        "update therapy_sessions set cache_hits = 5, game_metadata = '{\"a\": 1}' where id = $1",
        session,
    )
    assert (await row(database, session))["updated_at"] > before["updated_at"]


async def test_updated_at_is_kept_beside_columns_whose_type_has_no_equality(
    migrated_database: str,
) -> None:
    async with connected(migrated_database) as owner:
        await owner.execute("alter table therapy_sessions add column notes json")
        session = await add(owner)
        before = await row(owner, session)
        await owner.execute("update therapy_sessions set cache_hits = 1")
        assert (await row(owner, session))["updated_at"] == before["updated_at"]
        await owner.execute("update therapy_sessions set notes = '[]'")
        assert (await row(owner, session))["updated_at"] > before["updated_at"]


async def test_a_state_outside_the_five_is_read_and_its_word_is_kept(database: Connection) -> None:
    session = await add(database, processing_status="completed")
    await database.execute("update therapy_sessions set processing_status = 'reprocessing'")
    found = await row(database, session)
    assert (found["processing_status"], found["processing_attempts"]) == ("pending", 0)
    assert found["processing_error"].startswith("other_status: Another program set the status 'rep")
    assert await claim(database, uuid4()) == [session]


async def test_what_another_program_sets_to_processing_is_its_own_for_a_day(
    database: Connection,
) -> None:
    inserted = await add(database, processing_status="processing")
    updated = await add(database)
    await database.execute(
        "update therapy_sessions set processing_status = 'processing' where id = $1", updated
    )
    assert await claim(database, uuid4()) == []
    for session in (inserted, updated):
        await backdate(database, session, 0)
        assert await claim(database, uuid4()) == [session]
