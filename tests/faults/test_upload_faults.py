"""Storage answers 400 for trouble of its own: no upload is refused for it, and no session fails."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.harness import Harness
from tests.faults.load import slow_download
from tests.faults.recordings import content
from tests.faults.rules import say
from tests.faults.scenario import FULL, Plan, full_only
from tests.faults.uploads import OBJECTS, OWN_TROUBLE, SETTINGS, bucket_of

BEFORE, DURING = 30, 30  # uploads
HOLD = 14.0 if FULL else 4.0  # seconds

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("kind", ["TenantNotFound", pytest.param("InternalError", marks=full_only)])
async def test_trouble_of_storage_refuses_no_upload_and_fails_no_session(
    harness: Harness, kind: str
) -> None:
    """It begins when some uploads are sessions, some are completed and most are neither."""
    plan = Plan(settings=SETTINGS)
    async with (
        bucket_of(harness.running.info) as bucket,
        harness.scenario(plan) as scenario,
    ):
        with scenario.proxy.trouble(OBJECTS, slow_download):
            for number in range(BEFORE):
                await bucket.upload(f"P005/{number}.c3d", content(number))
            while len(await scenario.queue.completions()) < 2:
                await asyncio.sleep(0.05)
        with scenario.proxy.trouble(OBJECTS, say(400, OWN_TROUBLE[kind])) as rule:
            for number in range(BEFORE, BEFORE + DURING):
                await bucket.upload(f"P005/{number}.c3d", content(number))
            await asyncio.sleep(HOLD)
            assert rule.hits
            assert len(await scenario.queue.completions()) < BEFORE
        ended = time.time()
        async with asyncio.timeout(90):
            while len(await scenario.queue.completions()) < BEFORE + DURING:
                await asyncio.sleep(0.1)
        recovery = max(await scenario.queue.completions()) - ended
        assert {*(await bucket.ends(scenario.queue)).values()} == {"session"}
        sessions = await scenario.queue.rows("select id from public.therapy_sessions")
        scenario.queue.made = [row["id"] for row in sessions]
        outcome = await harness.outcome(f"Storage's own 400: {kind}", scenario, plan, None, None)
    assert recovery <= 60.0  # what waits longest after so short a trouble
    outcome.check(attempts=0)
