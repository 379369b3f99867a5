"""Uploads by the thousand, gone, overwritten, announced by nobody: each has its session, once."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.faults.harness import Harness
from tests.faults.recordings import content
from tests.faults.scenario import FULL, Plan, Scenario, full_only
from tests.faults.test_machine_faults import CLOCK, HOUR
from tests.faults.uploads import BUCKET, SETTINGS, Bucket, announce, bucket_of
from worker.local.postgres import SUPERUSER, as_role

UPLOADS, AT_ONCE, SAME = (2000 if FULL else 120), 32, 50
UNSETTLED = f"""
select (
  select count(*) from public.storage_intake
  where outcome in ('waiting', 'taking') and bucket_id = '{BUCKET}'
) + (
  select count(*) from storage.objects as o where o.bucket_id = '{BUCKET}' and not exists (
    select from public.storage_intake as i where i.object_id = o.id and i.version = o.version
  )
)
"""
TWICE = """
select count(*) from (
  select session_id from public.storage_intake
  where outcome = 'session' group by session_id having count(*) > 1
) as twice
"""
NO_OBJECT = f"""
insert into public.storage_intake (object_id, version, bucket_id, object_path)
values (gen_random_uuid(), '1', '{BUCKET}', 'P005/never-there.c3d')
"""
TRIGGER = "alter table storage.objects {} trigger announce_upload"

pytestmark = pytest.mark.timeout(300)


async def a_thousand_in_a_second(_: Scenario, bucket: Bucket) -> None:
    """A tenth is deleted at once, a tenth overwritten, fifty are the same bytes."""
    free = asyncio.Semaphore(AT_ONCE)
    storage = bucket.connection.supabase.storage.from_(BUCKET)

    async def one(number: int) -> None:
        path = f"P005/{number}.c3d"
        async with free:
            await bucket.upload(path, content(0 if number < SAME else number))
            if number % 10 == 1:
                await storage.update(path, content(UPLOADS + number))
            elif number % 10 == 2:
                await storage.remove([path])

    await asyncio.gather(*(one(number) for number in range(UPLOADS)))


async def an_announcement_without_an_object(scenario: Scenario, bucket: Bucket) -> None:
    await scenario.queue.execute(NO_OBJECT)
    await bucket.upload("P005/there.c3d", content(1))


async def a_trigger_that_is_switched_off(scenario: Scenario, bucket: Bucket) -> None:
    await bucket.upload("P005/before.c3d", content(1))
    await as_owner(scenario, TRIGGER.format("disable"))
    try:
        for number in range(2, 40):
            await bucket.upload(f"P005/{number}.c3d", content(number))
        await settled(scenario)
    finally:
        await as_owner(scenario, TRIGGER.format("enable"))
    await bucket.upload("P005/after.c3d", content(100))


async def settings_of_another_bucket(scenario: Scenario, bucket: Bucket) -> None:
    await announce(scenario.running.info, "another")
    for number in range(40):
        await bucket.upload(f"P005/{number}.c3d", content(number))


@pytest.mark.parametrize(
    "story",
    [
        a_thousand_in_a_second,
        an_announcement_without_an_object,
        a_trigger_that_is_switched_off,
        settings_of_another_bucket,
    ],
    ids=lambda story: story.__name__,
)
@pytest.mark.parametrize(
    "skew", [0.0, pytest.param(HOUR, marks=full_only), pytest.param(-HOUR, marks=full_only)]
)
async def test_every_upload_has_its_session_once(
    harness: Harness,
    tmp_path: Path,
    story: Callable[[Scenario, Bucket], Awaitable[None]],
    skew: float,
) -> None:
    """Also where the clock of the workers is an hour ahead or behind."""
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("d", skew))
    clocks = {"PYTHONPATH": str(CLOCK), "CLOCK_FILE": str(clock)} if skew else {}
    plan = Plan(settings={**SETTINGS, **clocks})
    async with bucket_of(harness.running.info) as bucket, harness.scenario(plan) as scenario:
        await story(scenario, bucket)
        await settled(scenario)
        ends = Counter((await bucket.ends(scenario.queue)).values())
        sessions = await scenario.queue.rows("select id from public.therapy_sessions")
        assert await scenario.queue.count(TWICE) == 0
        assert ends["session"] >= 1
        assert not ends.keys() - {"session", "duplicate", "superseded", "gone"}
        scenario.queue.made = [row["id"] for row in sessions]
        await scenario.queue.until_done(seconds=120)
        name = story.__name__.replace("_", " ") + (f", clocks {skew / HOUR:+.0f} h" if skew else "")
        outcome = await harness.outcome(f"uploads: {name}", scenario, plan, None, None)
    outcome.check()


async def settled(scenario: Scenario) -> None:
    """Wait until every object of the bucket is noted, and nothing waits."""
    async with asyncio.timeout(150):
        while await scenario.queue.count(UNSETTLED):
            await asyncio.sleep(0.2)


async def as_owner(scenario: Scenario, statement: str) -> None:
    url = as_role(scenario.running.info.database_url, SUPERUSER)
    await type(scenario.queue)(url, []).execute(statement)
