"""What the queue promises while two connections want the same thing at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import uuid4

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
    technical_row,
)

Result = TypeVar("Result")


async def meets_a_lock(
    url: str, connection: Connection, call: Coroutine[Any, Any, Result]
) -> asyncio.Task[Result]:
    """Start a call and return once its connection waits for somebody else's lock."""
    task = asyncio.create_task(call)
    async with connected(url) as observer, asyncio.timeout(5):
        while not await observer.fetchval(
            "select wait_event_type = 'Lock' from pg_stat_activity where pid = $1",
            connection.get_server_pid(),
        ):
            await asyncio.sleep(0.005)
    return task


async def test_concurrent_claimers_never_share_a_session(
    database: Connection, queue_url: str
) -> None:
    sessions = [await add(database) for _ in range(40)]

    async def claim_until_empty() -> list[object]:
        claimed: list[object] = []
        async with connected(queue_url, role="service_role") as own:
            while batch := await claim(own, uuid4(), 3):
                claimed += batch
        return claimed

    shares = await asyncio.gather(*(claim_until_empty() for _ in range(6)))
    claimed = [session for share in shares for session in share]
    assert len(claimed) == len(sessions)
    assert set(claimed) == set(sessions)


async def test_a_claimer_passes_by_what_another_is_claiming(
    database: Connection, second: Connection
) -> None:
    for _ in range(4):
        await add(database)
    async with database.transaction():
        first = await claim(database, uuid4(), 2)
        other = await claim(second, uuid4(), 2)
    assert len({*first, *other}) == 4


async def test_a_repeat_beside_the_first_claim_gets_the_first_ones_sessions(
    database: Connection, second: Connection, queue_url: str
) -> None:
    for _ in range(4):
        await add(database)
    claim_id = uuid4()
    async with database.transaction():
        first = await claim(database, claim_id, 2)
        repeat = await meets_a_lock(queue_url, second, claim(second, claim_id, 2))
    assert await repeat == first
    assert [(await row(database, session))["processing_attempts"] for session in first] == [1, 1]


async def test_a_lease_being_extended_is_not_taken(
    database: Connection, second: Connection
) -> None:
    session, claim_id = await held(database)
    await backdate(database, session, 1)
    async with database.transaction():
        assert await extend(database, [claim_id], [session]) == {session: True}
        assert await claim(second, uuid4()) == []
    assert await claim(second, uuid4()) == []


async def test_a_lease_being_taken_is_not_extended(
    database: Connection, second: Connection
) -> None:
    session, late = await held(database)
    await backdate(database, session, 1)
    async with database.transaction():
        assert await claim(database, uuid4()) == [session]
        before = await row(database, session)
        assert await extend(second, [late], [session]) == {session: False}
    assert await extend(second, [late], [session]) == {}
    assert await row(database, session) == before


async def test_a_session_being_completed_is_not_lost_and_gets_no_lease(
    database: Connection, second: Connection
) -> None:
    session, claim_id = await held(database)
    async with database.transaction():
        await complete(database, session, claim_id)
        before = await row(database, session)
        assert await extend(second, [claim_id], [session]) == {session: False}
    assert await extend(second, [claim_id], [session]) == {session: True}
    assert await row(database, session) == before


async def test_a_session_being_completed_is_not_taken(
    database: Connection, second: Connection
) -> None:
    session, claim_id = await held(database)
    await backdate(database, session, 1)
    async with database.transaction():
        assert await complete(database, session, claim_id) == "completed"
        assert await claim(second, uuid4()) == []
    assert await claim(second, uuid4()) == []


async def test_a_worker_that_completes_while_its_session_is_taken_has_lost_it(
    database: Connection, second: Connection
) -> None:
    session, late = await held(database)
    await backdate(database, session, 1)
    async with database.transaction():
        assert await claim(database, uuid4()) == [session]
        before = await row(database, session)
        assert await complete(second, session, late) == "locked"
    assert await complete(second, session, late) == "lost"
    assert await row(database, session) == before
    assert await technical_row(database, session) is None


async def test_completing_twice_at_once_completes_once(
    database: Connection, second: Connection
) -> None:
    session, claim_id = await held(database)
    async with database.transaction():
        await complete(database, session, claim_id)
        assert await complete(second, session, claim_id) == "locked"
    before = await technical_row(database, session)
    assert await complete(second, session, claim_id) == "completed"
    assert await technical_row(database, session) == before


async def test_failing_twice_at_once_fails_once(database: Connection, second: Connection) -> None:
    session, claim_id = await held(database)
    async with database.transaction():
        await fail(database, session, claim_id, retry_seconds=3600)
        before = await row(database, session)
        assert await fail(second, session, claim_id, 1) == "locked"
    assert await fail(second, session, claim_id, 1) == "pending"
    assert await row(database, session) == before


async def test_releasing_twice_at_once_gives_one_attempt_back(
    database: Connection, second: Connection
) -> None:
    session, claim_id = await held(database, processing_attempts=1)
    async with database.transaction():
        await release(database, [claim_id], [session])
        assert await release(second, [claim_id], [session]) == []
    assert await release(second, [claim_id], [session]) == [session]
    assert (await row(database, session))["processing_attempts"] == 1


async def test_a_session_requeued_by_two_people_at_once_is_requeued_once(
    database: Connection, second: Connection
) -> None:
    session, claim_id = await held(database)
    await fail(database, session, claim_id)
    async with database.transaction():
        await requeue(database, session)
        before = await row(database, session)
        assert await requeue(second, session) == "locked"
    assert await requeue(second, session) == "pending"
    assert await row(database, session) == before


async def test_of_two_sessions_with_one_content_one_completes_and_one_names_it(
    database: Connection, second: Connection, queue_url: str
) -> None:
    sessions = [
        await add(database, file_hash=f"path {number}", hash_measured_at=None)
        for number in range(2)
    ]
    claim_id = uuid4()
    await claim(database, claim_id)
    async with database.transaction():
        assert await complete(database, sessions[0], claim_id) == "completed"
        twin = await meets_a_lock(queue_url, second, complete(second, sessions[1], claim_id))
    assert await twin == "duplicate"
    found = await row(database, sessions[1])
    assert found["processing_status"] == "failed"
    assert str(sessions[0]) in found["processing_error"]
    assert await technical_row(database, sessions[1]) is None


async def test_content_whose_other_session_was_not_completed_after_all_is_no_duplicate(
    database: Connection, second: Connection, queue_url: str
) -> None:
    sessions = [
        await add(database, file_hash=f"path {number}", hash_measured_at=None)
        for number in range(2)
    ]
    claim_id = uuid4()
    await claim(database, claim_id)
    transaction = database.transaction()
    await transaction.start()
    await complete(database, sessions[0], claim_id)
    twin = await meets_a_lock(queue_url, second, complete(second, sessions[1], claim_id))
    await transaction.rollback()
    assert await twin == "completed"


async def test_releases_and_extensions_in_any_order_never_wait_for_each_other_for_ever(
    database: Connection, second: Connection
) -> None:
    sessions = [await add(database) for _ in range(30)]
    claim_id = uuid4()
    for _ in range(10):
        await claim(database, claim_id, 30)
        await asyncio.gather(
            extend(database, [claim_id], sessions),
            release(second, [claim_id], sessions[::-1]),
        )
