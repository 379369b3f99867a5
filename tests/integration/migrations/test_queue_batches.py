"""complete_sessions: several in a call, each with its own answer."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

from tests.integration.databases import Connection
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


async def test_without_a_measured_hash_the_session_says_so(database: Connection) -> None:
    session, claim_id = await add(database), uuid4()
    await claim(database, claim_id)
    before = await row(database, session)
    answers = await complete(database, finished(session, claim_id, content_hash=None))
    after = await row(database, session)
    assert answers[session] == ("completed", None)
    assert (after["read_mode"], after["file_hash"]) == ("header", before["file_hash"])


async def test_a_hash_that_is_none_cannot_be_left_unmeasured(database: Connection) -> None:
    session, claim_id = await add(database, file_hash="path-and-size"), uuid4()
    await claim(database, claim_id)
    answers = await complete(database, finished(session, claim_id, content_hash=None))
    assert answers[session][0] == "rejected"
    assert (await row(database, session))["processing_status"] == "processing"
