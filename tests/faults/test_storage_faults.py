"""Storage is away, slow, or delivers something else than the recording."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from tests.faults.harness import Harness
from tests.faults.injections import requests_meet
from tests.faults.proxy import OBJECTS
from tests.faults.recordings import RECORDING, described
from tests.faults.rules import Trouble, cut, delay, lose_reply, say, shorten, spoil, throttle
from tests.faults.scenario import FULL, Plan, Scenario, full_only

HOLD = 5.0  # seconds
LONG = 120.0 if FULL else 3.0  # seconds

pytestmark = pytest.mark.timeout(360)


@pytest.mark.parametrize(
    ("name", "trouble", "seconds"),
    [
        ("HTTP 503 with HTML", say(503), LONG),
        pytest.param(
            "HTTP 400 that names the tenant",
            say(400, '{"statusCode": "400", "error": "TenantNotFound", "message": "Missing"}'),
            LONG,
            marks=full_only,
        ),
        pytest.param(
            "HTTP 400 that refuses the key",
            say(400, '{"statusCode": "400", "error": "InvalidJWT", "message": "jwt expired"}'),
            HOLD,
            marks=full_only,
        ),
        pytest.param(
            "HTTP 500 with JSON",
            say(500, '{"statusCode": "500", "error": "internal", "message": "Internal"}'),
            HOLD,
            marks=full_only,
        ),
        pytest.param(
            "HTTP 429 with Retry-After",
            say(429, '{"message": "slow down"}', Retry_After="3"),
            HOLD,
            marks=full_only,
        ),
        pytest.param("slow", throttle(8_000), 12.0, marks=full_only),
        pytest.param("late", delay(4.0), 12.0, marks=full_only),
        pytest.param("cut mid-body", cut, HOLD, marks=full_only),
        pytest.param("connections reset", lose_reply, HOLD, marks=full_only),
    ],
)
async def test_trouble_of_storage_is_no_sessions_fault(
    harness: Harness, name: str, trouble: Trouble, seconds: float
) -> None:
    fault = requests_meet(trouble, OBJECTS, seconds)
    await harness.run_fault(f"Storage: {name}", fault, attempts=0)


@full_only
@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        ("wrong bytes on the way", spoil),
        ("shortened on the way, framed as whole", shorten),
        ("HTTP 200 with HTML", say(200)),
    ],
)
async def test_a_good_recording_damaged_on_the_way_is_read_in_the_end(
    harness: Harness, name: str, trouble: Trouble
) -> None:
    await harness.run_fault(f"Storage: {name}", requests_meet(trouble, OBJECTS, 2.0))


@full_only
async def test_an_object_of_other_bytes_fails_with_its_reason(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        changed = []
        for number in range(6):
            right = RECORDING[:-4] + b"good"[: 4 - 1] + bytes([number])
            wrong = RECORDING[:-4] + b"bad!"[: 4 - 1] + bytes([number])
            path = f"P005/changed-{number}.c3d"
            await scenario.upload(path, wrong)
            changed.append(described(path, right))
        sessions = await scenario.queue.insert(changed)
        scenario.bad.update(dict.fromkeys(sessions, "hash_mismatch"))

    plan = Plan(settings={"MAX_ATTEMPTS": "2"})
    await harness.run_fault("Storage: wrong bytes at rest (hash)", fault, plan)


@full_only
async def test_an_object_that_comes_late_is_read(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> Sequence[UUID]:
        files = {f"P005/late-{number}.c3d": RECORDING[:-4] + b"lat" + bytes([number])
                 for number in range(6)}  # fmt: skip
        sessions = await scenario.queue.insert([described(*file) for file in files.items()])
        await asyncio.sleep(4.0)
        for file in files.items():
            await scenario.upload(*file)
        return sessions

    plan = Plan(allowed=25.0)  # the retry after the next waits ten seconds more
    await harness.run_fault("Storage: object missing, then there", fault, plan)


@full_only
async def test_one_object_that_storage_cannot_read_delays_no_other(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        unreadable = await scenario.upload("P005/unreadable.c3d", RECORDING[:-4] + b"hard")
        await scenario.queue.insert([unreadable])
        with scenario.proxy.trouble(
            f"{OBJECTS}P005/unreadable", say(500, '{"message": "x"}')
        ) as rule:
            await asyncio.sleep(20.0)
            assert rule.hits

    await harness.run_fault("Storage: one object answers 500", fault)
