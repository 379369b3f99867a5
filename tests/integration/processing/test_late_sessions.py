"""What becomes due for longer than where the next claim begins is claimed all the same."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from tests.integration.databases import Connection, connected
from tests.integration.harness import Harness
from tests.integration.queue_calls import add
from worker.backend.horizon import of_sessions
from worker.backend.metadata_service import MetadataService
from worker.backend.sessions import ClaimedSession
from worker.processing.session_queue import SessionQueue
from worker.queueing.claim_loop import ClaimLoop

CLAIM = """
select id, next_waiting_since::text, next_abandoned_since::text
from claim_sessions(
  $1, 1, 60, 3, waiting_since => $2::text::timestamptz, abandoned_since => $3::text::timestamptz)
"""
LATE_SECONDS = 3.0  # longer than a claim looks back behind its own time
NOTED = """
with object as (
  insert into storage.objects (bucket_id, name, version) values ('c3d-files', $1, '1') returning id
)
insert into storage_intake (object_id, version, bucket_id, object_path, due_at, announced_at)
select id, '1', 'c3d-files', $1, clock_timestamp() - make_interval(mins => $2), clock_timestamp()
from object
"""
CLAIM_OBJECTS = """
select object_path, next_due_since::text as due, next_newest_since::text as newest,
  next_newest_until::text as until
from claim_objects(
  $1, 'c3d-files', 2, 60, null,
  $2::text::timestamptz, $3::text::timestamptz, $4::text::timestamptz)
"""


async def claimed(database: Connection, horizon: dict[str, str]) -> list[UUID]:
    """Claim one session as a worker does, and move the horizon."""
    since = (horizon["waiting_since"], horizon["abandoned_since"])
    *sessions, answer = await database.fetch(CLAIM, uuid4(), *since)
    assert answer["id"] is None
    horizon |= {name: answer[f"next_{name}"] for name in horizon}
    return [row["id"] for row in sessions]


async def test_a_claim_begins_where_the_one_before_it_ended(database: Connection) -> None:
    horizon = dict(of_sessions().arguments())
    for minutes in (30, 20, 10):
        await add(database, created_at=None)
        await database.execute(
            "update therapy_sessions set processing_due_at = now() - make_interval(mins => $1)"
            " where processing_due_at > now() - interval '1 minute'",
            minutes,
        )
    due = await database.fetch("select id from therapy_sessions order by processing_due_at")
    for session in due:
        assert await claimed(database, horizon) == [session["id"]]
    assert await claimed(database, horizon) == []


async def test_a_session_that_commits_late_is_passed_by_until_a_claim_looks_at_all(
    database: Connection, second: Connection
) -> None:
    horizon = dict(of_sessions().arguments())
    transaction = second.transaction()
    await transaction.start()
    late = await add(second)
    await asyncio.sleep(LATE_SECONDS)
    assert await claimed(database, horizon) == []
    await transaction.commit()
    assert await claimed(database, horizon) == []
    assert await claimed(database, dict(of_sessions().arguments())) == [late]


async def test_a_session_that_commits_soon_is_passed_by_by_no_claim(
    database: Connection, second: Connection
) -> None:
    horizon = dict(of_sessions().arguments())
    transaction = second.transaction()
    await transaction.start()
    soon = await add(second)
    await asyncio.sleep(0.5)
    assert await claimed(database, horizon) == []
    await transaction.commit()
    assert await claimed(database, horizon) == [soon]


async def test_a_loop_that_is_to_look_again_finds_what_was_due_before(harness: Harness) -> None:
    done = asyncio.Event()

    async def process(session: ClaimedSession) -> None:
        await queue.release([session], None, delay_seconds=3600)
        done.set()

    queue = SessionQueue(MetadataService(harness.connection.supabase), 60, 3, harness.bucket)
    loop = ClaimLoop(queue, process, slots=1, lease_seconds=60, shutdown_timeout_seconds=5)
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(0.5)  # it has looked, and found nothing
    session = await harness.session(uuid4().bytes, uploaded=False)
    await harness.database.execute(
        "update public.therapy_sessions set processing_due_at = now() - interval '1 hour'"
        " where id = $1",
        session,
    )
    loop.wake()
    await asyncio.sleep(0.5)
    assert not done.is_set()
    loop.look_again()
    async with asyncio.timeout(5):
        await done.wait()
    loop.stop()
    await running


async def test_the_newest_upload_comes_first_wherever_the_claim_begins(
    migrated_database: str,
) -> None:
    async with connected(migrated_database) as database:
        for number in range(8):
            await database.execute(NOTED, f"old {number}", 100 - number)
        since = ["-infinity", "-infinity", "infinity"]
        names = []
        for turn in range(3):
            if turn == 1:
                await database.execute(NOTED, "fresh", 0)
            *found, answer = await database.fetch(CLAIM_OBJECTS, uuid4(), *since)
            names += [row["object_path"] for row in found]
            since = [answer[name] for name in ("due", "newest", "until")]
        assert names == ["old 7", "old 0", "fresh", "old 1", "old 6", "old 2"]
