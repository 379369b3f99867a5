"""PostgreSQL and PostgREST fail, restart, or refuse every connection."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from tests.faults.harness import Harness
from tests.faults.injections import (
    TERMINATE,
    backends_are_terminated,
    network_is_gone,
    postgres_dies,
    postgres_restarts,
    postgrest,
    postgrest_dies,
    requests_meet,
    superuser,
)
from tests.faults.rules import Trouble, say
from tests.faults.scenario import Scenario, full_only
from worker.local.postgres import DATABASE_ERRORS

HOLD = 5.0  # seconds, as long as a lease
IN_HAND = (
    8  # sessions of two workers: one may claim what the other could neither extend nor release
)

pytestmark = pytest.mark.timeout(240)


@full_only
async def test_a_restart_of_postgres_loses_nothing(harness: Harness) -> None:
    await harness.run_fault("PostgreSQL restarted", postgres_restarts)


@full_only
async def test_a_crash_of_postgres_loses_nothing(harness: Harness) -> None:
    await harness.run_fault("PostgreSQL killed", postgres_dies)


@full_only
async def test_terminating_every_backend_loses_nothing(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        for _ in range(10):
            await backends_are_terminated(scenario)
            await asyncio.sleep(0.3)

    await harness.run_fault("every backend terminated", fault)


async def test_a_postgrest_that_is_killed_loses_nothing(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        for _ in range(3):
            await postgrest_dies(scenario)

    await harness.run_fault("PostgREST killed and restarted", fault)


@full_only
async def test_a_postgrest_that_hangs_loses_nothing(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        hanging = postgrest(scenario.running)
        hanging.suspend()
        await asyncio.sleep(8.0)
        hanging.resume()

    await harness.run_fault("PostgREST frozen for longer than a lease", fault)


@full_only
async def test_having_no_connection_left_loses_nothing(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        opened: list[asyncpg.Connection[asyncpg.Record]] = []
        until = time.monotonic() + HOLD
        while time.monotonic() < until:
            try:
                opened.append(await asyncpg.connect(superuser(scenario.running)))
            except DATABASE_ERRORS:
                # All are in use; others lose theirs, which the next round takes.
                mine = [each.get_server_pid() for each in opened]
                await opened[0].execute(f"{TERMINATE} and pid <> all (array{mine})")
        assert len(opened) > 80
        await asyncio.gather(*(each.close() for each in opened))

    await harness.run_fault("all connections taken", fault, attempts=IN_HAND)


@full_only
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("HTTP 502 with HTML", say(502)),
        ("HTTP 503 with HTML", say(503)),
        ("HTTP 200 with HTML", say(200)),
        ("HTTP 429", say(429, '{"message": "slow"}', Retry_After="2")),
    ],
)
async def test_an_answer_of_the_gateway_itself_loses_nothing(
    harness: Harness, name: str, answer: Trouble
) -> None:
    fault = requests_meet(answer, "^/rest/", HOLD)
    await harness.run_fault(f"{name} from the REST gateway", fault, attempts=0)


@full_only
async def test_a_network_that_is_gone_loses_nothing(harness: Harness) -> None:
    await harness.run_fault("network gone", network_is_gone(HOLD), attempts=IN_HAND)
