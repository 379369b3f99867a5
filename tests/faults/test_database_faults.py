"""PostgreSQL and PostgREST fail, restart, or refuse every connection."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress

import asyncpg
import psutil
import pytest

from tests.conftest import RunningStack
from tests.faults.harness import Harness
from tests.faults.rules import Trouble, say
from tests.faults.scenario import Plan, Scenario, full_only
from worker.local.postgres import DATABASE_ERRORS, SUPERUSER, as_role

TERMINATE = """
select pg_terminate_backend(pid) from pg_stat_activity
where backend_type = 'client backend' and pid <> pg_backend_pid()
"""
HOLD = 5.0  # seconds

pytestmark = pytest.mark.timeout(240)


async def test_a_restart_of_postgres_loses_nothing(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        await scenario.running.restart_postgres()

    outcome = await harness.run_fault("PostgreSQL restarted", fault)
    outcome.check()


@full_only
async def test_a_crash_of_postgres_loses_nothing(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        await scenario.running.restart_postgres(signal.SIGKILL)

    outcome = await harness.run_fault("PostgreSQL killed", fault)
    outcome.check()


@full_only
async def test_terminating_every_backend_loses_nothing(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        for _ in range(10):
            await terminate_backends(scenario.running)
            await asyncio.sleep(0.3)

    outcome = await harness.run_fault("every backend terminated", fault)
    outcome.check()


async def test_a_postgrest_that_is_killed_loses_nothing(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        for _ in range(3):
            postgrest(scenario.running).kill()
            await asyncio.sleep(1.0)

    outcome = await harness.run_fault("PostgREST killed and restarted", fault)
    outcome.check()


@full_only
async def test_a_postgrest_that_hangs_loses_nothing(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        hanging = postgrest(scenario.running)
        hanging.suspend()
        await asyncio.sleep(8.0)
        hanging.resume()

    outcome = await harness.run_fault("PostgREST frozen for longer than a lease", fault)
    outcome.check()


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

    outcome = await harness.run_fault("all connections taken", fault)
    outcome.check(attempts=0)


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
    async def fault(scenario: Scenario) -> None:
        with scenario.proxy.trouble("^/rest/", answer):
            await asyncio.sleep(HOLD)

    outcome = await harness.run_fault(f"{name} from the REST gateway", fault)
    outcome.check(attempts=0)


@full_only
async def test_a_network_that_is_gone_loses_nothing(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        await scenario.proxy.vanish()
        await asyncio.sleep(HOLD)
        await scenario.proxy.return_again()

    outcome = await harness.run_fault("network gone", fault, Plan())
    outcome.check(attempts=0)


async def terminate_backends(running: RunningStack) -> None:
    with suppress(*DATABASE_ERRORS):  # the worker's backends may be terminated by others, too
        connection = await asyncpg.connect(superuser(running))
        await connection.execute(TERMINATE)
        await connection.close()


def superuser(running: RunningStack) -> str:
    return as_role(running.info.database_url, SUPERUSER)


def postgrest(running: RunningStack) -> psutil.Process:
    (found,) = (one for one in running.process.children() if one.name() == "postgrest")
    return found
