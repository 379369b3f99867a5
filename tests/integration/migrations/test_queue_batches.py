"""complete_sessions: several in a call, each with its own answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.integration.databases import Connection, connected
from tests.integration.queue_calls import TECHNICAL, add, claim, row, technical_row

HASH = "0" * 64


def finished(session: UUID, claim_id: UUID, **others: Any) -> dict[str, Any]:
    return {
        "session": str(session),
        "claim": str(claim_id),
        "technical": TECHNICAL,
        "content_hash": HASH,
        "game": {},
        "statistics": None,
        **others,
    }


async def complete(database: Connection, *completions: dict[str, Any]) -> dict[UUID, Any]:
    """Return outcome and refusal by session."""
    found = await database.fetch(
        "select * from public.complete_sessions($1)", json.dumps(completions)
    )
    return {each["session"]: (each["outcome"], each["refusal"]) for each in found}


async def test_each_gets_its_own_answer(database: Connection) -> None:
    good, bad, strange = [await add(database) for _ in range(3)]
    claim_id = uuid4()
    await claim(database, claim_id)
    answers = await complete(
        database,
        finished(good, claim_id),
        finished(bad, claim_id, technical={"channel_count": 2**40}),
        finished(strange, uuid4()),
    )
    assert answers[good] == ("completed", None)
    assert answers[strange] == ("lost", None)
    outcome, refusal = answers[bad]
    assert outcome == "rejected"
    assert "out of range" in refusal
    assert refusal.endswith("(22003)")
    assert (await row(database, bad))["processing_status"] == "processing"
    assert await technical_row(database, good)
    assert await technical_row(database, bad) is None


async def test_a_repeat_says_the_same(database: Connection) -> None:
    sessions = [await add(database) for _ in range(3)]
    claim_id = uuid4()
    await claim(database, claim_id)
    batch = [finished(session, claim_id) for session in sessions]
    first = await complete(database, *batch)
    before = [await row(database, session) for session in sessions]
    assert await complete(database, *batch) == first
    assert [await row(database, session) for session in sessions] == before


async def test_statistics_and_game_are_kept(database: Connection) -> None:
    session, claim_id = await add(database), uuid4()
    await claim(database, claim_id)
    statistics = {"version": 1, "channels": []}
    await complete(
        database, finished(session, claim_id, game={"level": "3"}, statistics=statistics)
    )
    found = await row(database, session)
    assert json.loads(found["analytics_cache"]) == {"channel_statistics": statistics}
    assert json.loads(found["game_metadata"]) == {"level": "3"}


@pytest.mark.parametrize("version", ["1.2.3", None])
async def test_the_session_says_which_version_read_it(
    database: Connection, version: str | None
) -> None:
    session, claim_id = await add(database, read_by_version="0.0.1"), uuid4()
    await claim(database, claim_id)
    await complete(database, finished(session, claim_id, version=version))
    assert (await row(database, session))["read_by_version"] == version


async def test_without_a_measured_hash_the_session_says_so(database: Connection) -> None:
    session, claim_id = await add(database), uuid4()
    await claim(database, claim_id)
    before = await row(database, session)
    answers = await complete(database, finished(session, claim_id, content_hash=None))
    after = await row(database, session)
    assert answers[session] == ("completed", None)
    assert (after["read_mode"], after["file_hash"]) == ("header", before["file_hash"])


async def test_a_hash_that_is_none_cannot_be_left_unmeasured(database: Connection) -> None:
    session, claim_id = (
        await add(database, file_hash="path-and-size", hash_measured_at=None),
        uuid4(),
    )
    await claim(database, claim_id)
    answers = await complete(database, finished(session, claim_id, content_hash=None))
    assert answers[session][0] == "rejected"
    assert (await row(database, session))["processing_status"] == "processing"


async def test_a_session_that_somebody_has_locked_keeps_back_no_other(
    database: Connection, second: Connection
) -> None:
    sessions = [await add(database) for _ in range(3)]
    claim_id = uuid4()
    await claim(database, claim_id)
    batch = [finished(session, claim_id) for session in sessions]
    async with second.transaction():
        await second.execute("select from therapy_sessions where id = $1 for update", sessions[1])
        async with asyncio.timeout(0.9):
            answers = await complete(database, *batch)
    assert [answers[session][0] for session in sessions] == ["completed", "locked", "completed"]
    assert (await row(database, sessions[1]))["processing_status"] == "processing"
    assert {outcome for outcome, _ in (await complete(database, *batch)).values()} == {"completed"}


async def test_content_that_somebody_else_is_writing_is_waited_for_a_second_at_most(
    database: Connection, second: Connection
) -> None:
    twin, other = (
        await add(database, file_hash="path and size", hash_measured_at=None),
        await add(database),
    )
    claim_id = uuid4()
    await claim(database, claim_id)
    batch = [
        finished(twin, claim_id, content_hash="ef" * 32),
        finished(other, claim_id, content_hash="cd" * 32),
    ]
    async with second.transaction():
        await add(second, file_hash="ef" * 32)
        async with asyncio.timeout(2.5):
            answers = await complete(database, *batch)
        assert (answers[twin][0], answers[other][0]) == ("locked", "completed")
    assert (await complete(database, *batch))[twin][0] == "duplicate"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("raise exception 'not this one';", "not this one (P0001)"),
        ("return null;", "a trigger skips the change (09000)"),
        ("perform 1 / 0;", "division by zero (22012)"),
        ("perform no_such_function();", "(42883)"),
        ("new.file_path := null; return new;", "(23502)"),
    ],
)
async def test_a_row_that_may_not_be_completed_is_told_from_values_that_do_not_fit(
    migrated_database: str, rule: str, said: str
) -> None:
    async with connected(migrated_database) as database:
        await database.execute(
            f"create function refuse() returns trigger language plpgsql as $$ begin {rule} end $$;"
            "create trigger refuse before update on therapy_sessions for each row "
            "when (old.patient_id = 'P7' and new.processing_status = 'completed') "
            "execute function refuse()"
        )
        bad, good = await add(database, patient_id="P7"), await add(database)
        claim_id = uuid4()
        await claim(database, claim_id)
        answers = await complete(
            database, *(finished(session, claim_id) for session in (bad, good))
        )
        assert answers[good] == ("completed", None)
        outcome, refusal = answers[bad]
        assert (outcome, refusal[-len(said) :]) == ("refused", said)
        assert (await row(database, bad))["processing_status"] == "processing"
        assert await technical_row(database, bad) is None


async def test_a_rule_for_technical_rows_is_the_owners_and_no_fault_of_the_values(
    migrated_database: str,
) -> None:
    async with connected(migrated_database) as database:
        await database.execute(
            "alter table c3d_technical_data add constraint few check (channel_count < 2)"
        )
        session, claim_id = await add(database), uuid4()
        await claim(database, claim_id)
        answers = await complete(database, finished(session, claim_id))
        assert answers[session][0] == "refused"
        assert '"few" (23514)' in answers[session][1]
