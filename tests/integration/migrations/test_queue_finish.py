"""What `complete_session` and `fail_session` promise: one end, said once, never by a stranger."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.integration.databases import Connection, connected
from tests.integration.queue_calls import (
    MAX_ATTEMPTS,
    TECHNICAL,
    add,
    backdate,
    claim,
    complete,
    fail,
    held,
    requeue,
    row,
    technical_row,
)


async def test_completing_writes_the_technical_row_and_the_status(database: Connection) -> None:
    session, claim_id = await held(database, processing_error="object_missing: Not there yet.")
    assert await complete(database, session, claim_id) == "completed"
    found = await row(database, session)
    assert found["processing_status"] == "completed"
    assert found["processing_due_at"] is None
    assert found["processing_error"] is None
    assert found["processing_claim"] == claim_id
    technical = await technical_row(database, session)
    assert technical is not None
    assert technical.pop("extracted_at") is not None
    assert technical.pop("session_id") == session
    assert technical == TECHNICAL


async def test_a_value_the_file_does_not_give_is_null(database: Connection) -> None:
    session, claim_id = await held(database)
    await complete(database, session, claim_id, technical={"channel_count": 0, "channel_names": []})
    technical = await technical_row(database, session)
    assert technical is not None
    assert (technical["channel_count"], technical["channel_names"]) == (0, [])
    assert technical["sampling_rate"] is None


async def test_completing_twice_under_one_claim_says_the_same_and_changes_nothing(
    database: Connection,
) -> None:
    session, claim_id = await held(database)
    await complete(database, session, claim_id)
    before = await row(database, session), await technical_row(database, session)
    again = await complete(database, session, claim_id, technical={"frame_count": 1})
    assert again == "completed"
    assert (await row(database, session), await technical_row(database, session)) == before


async def test_a_late_worker_changes_nothing(database: Connection) -> None:
    session, late = await held(database)
    await backdate(database, session, 1)
    await claim(database, uuid4())
    before = await row(database, session)
    assert await complete(database, session, late) == "lost"
    assert await fail(database, session, late) == "lost"
    assert await row(database, session) == before
    assert await technical_row(database, session) is None


async def test_a_completed_session_cannot_be_completed_or_failed_by_another(
    database: Connection,
) -> None:
    session, late = await held(database)
    await backdate(database, session, 1)
    winner = uuid4()
    await claim(database, winner)
    await complete(database, session, winner)
    before = await row(database, session), await technical_row(database, session)
    assert await complete(database, session, late, technical={"frame_count": 1}) == "lost"
    assert await fail(database, session, late) == "lost"
    assert await fail(database, session, winner) == "lost"
    assert (await row(database, session), await technical_row(database, session)) == before


async def test_a_lease_that_ran_out_but_went_to_nobody_still_completes(
    database: Connection,
) -> None:
    session, claim_id = await held(database)
    await backdate(database, session, 3600)
    assert await complete(database, session, claim_id) == "completed"


async def test_a_session_that_does_not_exist_is_lost(database: Connection) -> None:
    assert await complete(database, uuid4(), uuid4()) == "lost"
    assert await fail(database, uuid4(), uuid4()) == "lost"


async def test_a_session_that_failed_or_waits_cannot_be_completed(database: Connection) -> None:
    session, claim_id = await held(database)
    await fail(database, session, claim_id, retry_seconds=0)
    assert await complete(database, session, claim_id) == "lost"
    await claim(database, claim_id)
    await fail(database, session, claim_id)
    assert await complete(database, session, claim_id) == "lost"


async def test_the_technical_row_of_an_earlier_reading_is_replaced(database: Connection) -> None:
    session, claim_id = await held(database)
    await complete(database, session, claim_id)
    await requeue(database, session, force=True)
    new_claim = uuid4()
    await claim(database, new_claim)
    await complete(database, session, new_claim, technical={"frame_count": 5})
    technical = await technical_row(database, session)
    assert technical is not None
    assert (technical["frame_count"], technical["sampling_rate"]) == (5, None)


async def test_what_other_programs_keep_beside_the_technical_values_stays(
    migrated_database: str,
) -> None:
    async with connected(migrated_database) as database:
        await database.execute(
            "alter table c3d_technical_data add column reviewed boolean not null default false"
        )
        session, claim_id = await held(database)
        await complete(database, session, claim_id)
        await database.execute("update c3d_technical_data set reviewed = true")
        await requeue(database, session, force=True)
        await claim(database, claim_id)
        await complete(database, session, claim_id, technical={"frame_count": 5})
        technical = await technical_row(database, session)
        assert technical is not None
        assert (technical["frame_count"], technical["reviewed"]) == (5, True)
        await claim(database, claim_id)
        with pytest.raises(asyncpg.InvalidParameterValueError, match="technical columns"):
            await complete(database, session, claim_id, technical={"reviewed": False})


async def test_a_new_technical_column_is_one_more_name_in_a_list(migrated_database: str) -> None:
    async with connected(migrated_database) as database:
        await database.execute(
            "alter table c3d_technical_data add column event_count integer;"
            "create or replace function technical_columns() returns text[] language sql immutable "
            "set search_path = '' as $$ select array['frame_count', 'event_count'] $$"
        )
        session, claim_id = await held(database)
        said = {"frame_count": 5, "event_count": 7}
        assert await complete(database, session, claim_id, technical=said) == "completed"
        technical = await technical_row(database, session)
        assert technical is not None
        assert said.items() <= technical.items()


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({}, {"level": 1, "score": 2}),
        ({"score": 9, "note": "kept"}, {"level": 1, "score": 9, "note": "kept"}),
        (None, {"level": 1, "score": 2}),
        (["odd"], ["odd"]),
    ],
)
async def test_the_file_fills_the_gaps_of_game_metadata(
    database: Connection, there: Any, expected: Any
) -> None:
    session, claim_id = await held(database, game_metadata=json.dumps(there))
    await complete(database, session, claim_id, game={"level": 1, "score": 2})
    assert json.loads((await row(database, session))["game_metadata"]) == expected


async def test_a_unique_rule_of_the_projects_own_is_not_taken_for_a_duplicate(
    migrated_database: str,
) -> None:
    async with connected(migrated_database) as database:
        await database.execute(
            "create unique index one_at_a_time on therapy_sessions (processing_status) "
            "where processing_status = 'completed'"
        )
        await add(database, processing_status="completed")
        session, claim_id = await held(
            database, file_hash="md5 of path and size", hash_measured_at=None
        )
        with pytest.raises(asyncpg.UniqueViolationError, match="one_at_a_time"):
            await complete(database, session, claim_id)
        assert (await row(database, session))["processing_status"] == "processing"


@pytest.mark.parametrize(
    "bad",
    [
        {"technical": {"sample_rate": 990}},
        {"technical": {"extracted_at": None}},
        {"technical": {"session_id": None}},
        {"technical": []},
        {"technical": None},
        {"game": ["level"]},
        {"content_hash": "AB" * 32},
        {"content_hash": None},
    ],
)
async def test_values_that_fit_no_column_are_refused(
    database: Connection, bad: dict[str, Any]
) -> None:
    session, claim_id = await held(database)
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await complete(database, session, claim_id, **bad)
    assert (await row(database, session))["processing_status"] == "processing"


async def test_neither_row_is_written_when_one_cannot_be(database: Connection) -> None:
    session, claim_id = await held(database)
    with pytest.raises(asyncpg.InvalidParameterValueError, match=r"out of range.*22003"):
        await complete(database, session, claim_id, technical={"frame_count": 2**31})
    assert (await row(database, session))["processing_status"] == "processing"


async def test_a_permanent_failure_is_final_and_says_why(database: Connection) -> None:
    session, claim_id = await held(database)
    assert await fail(database, session, claim_id) == "failed"
    found = await row(database, session)
    assert found["processing_status"] == "failed"
    assert found["processing_error"] == "object_missing: No such file."
    assert found["processing_due_at"] is None
    assert await fail(database, session, claim_id) == "failed"
    assert await row(database, session) == found


async def test_a_retryable_failure_waits_for_its_next_attempt(database: Connection) -> None:
    session, claim_id = await held(database)
    assert await fail(database, session, claim_id, retry_seconds=90.5) == "pending"
    found = await row(database, session)
    wait = found["processing_due_at"] - await database.fetchval("select clock_timestamp()")
    assert timedelta(seconds=85) < wait <= timedelta(seconds=90.5)
    assert (found["processing_status"], found["processing_attempts"]) == ("pending", 1)
    assert await fail(database, session, claim_id, retry_seconds=1) == "pending"
    assert await row(database, session) == found


async def test_a_retryable_failure_is_final_once_the_attempts_are_used_up(
    database: Connection,
) -> None:
    session = await add(database)
    verdicts = []
    for _ in range(MAX_ATTEMPTS):
        claim_id = uuid4()
        await claim(database, claim_id)
        verdicts.append(await fail(database, session, claim_id, retry_seconds=0))
    assert verdicts == ["pending", "pending", "failed"]
    assert (await row(database, session))["processing_attempts"] == MAX_ATTEMPTS
