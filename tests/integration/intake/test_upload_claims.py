"""How uploads are claimed: in bounded calls, under leases that are what the caller thinks."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from tests.integration.databases import connected
from tests.integration.harness import Harness
from tests.integration.uploads import (
    RECORDING,
    intake_of,
    numbered,
    object_of,
    register,
    sweep_of,
)
from worker.backend.queued_uploads import ClaimedObject
from worker.intake.intake import Intake
from worker.settings import DEFAULT_BUCKET

PATH = "P005/a.c3d"
DELETED = 20_000  # uploads of a folder
MAX_ENDED = 1100  # uploads in one call
AT_ONCE = 4
LEASE_SECONDS = 60


async def announced_and_deleted(harness: Harness, number: int) -> None:
    """Have so many uploads in the queue whose objects are gone."""
    await harness.database.execute(
        """
        insert into public.storage_intake (object_id, version, bucket_id, object_path, due_at)
        select gen_random_uuid(), '1', $1, 'P009/' || n || '.c3d', now() - interval '1 hour'
        from generate_series(1, $2) as n
        """,
        DEFAULT_BUCKET,
        number,
    )


async def claimed_of(intake: Intake, object_id: UUID) -> ClaimedObject:
    """Announce and claim an object."""
    await intake.queue.announce(object_id)
    claimed = await intake.queue.claim_one(object_id)
    assert claimed is not None
    return claimed


async def test_a_deleted_folder_holds_up_no_upload_behind_it(harness: Harness) -> None:
    await announced_and_deleted(harness, DELETED)
    path = await harness.upload(RECORDING)
    begun = time.monotonic()
    assert await sweep_of(harness).sweep() == 1
    assert time.monotonic() - begun < 30
    outcomes = [outcome for found, outcome, _ in await register(harness) if found != path]
    assert outcomes == ["gone"] * DELETED


async def test_a_claim_ends_a_bounded_number_of_uploads_and_says_that_more_may_be_due(
    harness: Harness,
) -> None:
    await announced_and_deleted(harness, 2 * MAX_ENDED)
    claim = "select object_id from public.claim_objects($1, $2, $3, $4)"
    ended = "select count(*) from public.storage_intake where outcome = 'gone'"
    found = await harness.database.fetch(claim, uuid4(), DEFAULT_BUCKET, AT_ONCE, LEASE_SECONDS)
    assert [row["object_id"] for row in found] == [None]
    assert 1000 < await harness.database.fetchval(ended) <= MAX_ENDED
    for _ in range(2):
        found = await harness.database.fetch(claim, uuid4(), DEFAULT_BUCKET, AT_ONCE, LEASE_SECONDS)
    assert found == []
    assert await harness.database.fetchval(ended) == 2 * MAX_ENDED


async def test_what_is_gone_keeps_nothing_from_the_claim_that_meets_it(harness: Harness) -> None:
    await announced_and_deleted(harness, AT_ONCE)
    await harness.upload(RECORDING)
    await sweep_of(harness).announce()
    claim = "select object_id from public.claim_objects($1, $2, $3, $4)"
    found = await harness.database.fetch(claim, uuid4(), DEFAULT_BUCKET, AT_ONCE, LEASE_SECONDS)
    assert len(found) == 1
    assert found[0]["object_id"] is not None


async def test_the_newest_upload_comes_first_in_its_batch(harness: Harness) -> None:
    for number in range(2 * AT_ONCE):
        await harness.upload(numbered(number), f"P005/{number}.c3d")
    await sweep_of(harness).announce()
    await harness.upload(RECORDING, "P009/fresh.c3d")
    await sweep_of(harness).announce()
    found = await intake_of(harness).queue.claim(uuid4(), limit=AT_ONCE)
    assert [each.path for each in found] == ["P009/fresh.c3d", *(f"P005/{n}.c3d" for n in range(3))]


async def test_a_repeated_claim_renews_its_lease(harness: Harness) -> None:
    await harness.upload(RECORDING, PATH)
    await sweep_of(harness).announce()
    queue = intake_of(harness).queue
    claim = uuid4()
    (first,) = await queue.claim(claim, limit=1)
    await harness.database.execute(
        "update public.storage_intake set due_at = now() + interval '2 seconds'"
    )
    assert await queue.claim(claim, limit=1) == [first]
    due_at = await harness.database.fetchval("select due_at from public.storage_intake")
    assert due_at > datetime.now(UTC) + timedelta(seconds=30)


async def test_a_lease_that_a_lock_kept_from_being_extended_is_not_told_as_extended(
    harness: Harness,
) -> None:
    intake = intake_of(harness)
    claims = [
        await claimed_of(intake, await object_of(harness, await harness.upload(numbered(number))))
        for number in range(2)
    ]
    locked, free = claims
    async with connected(harness.stack.database_url) as other, other.transaction():
        await other.execute(
            "select from public.storage_intake where object_id = $1 for update", locked.id
        )
        assert await intake.queue.extend(claims) == {locked.id: False, free.id: True}
    assert await intake.queue.extend(claims) == {locked.id: True, free.id: True}
