"""The faults that more than one test injects."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

import asyncpg
import psutil

from tests.conftest import RunningStack
from tests.faults.realtime_proxy import Mode
from tests.faults.rules import Trouble
from tests.faults.scenario import Fault, Scenario
from worker.local.postgres import DATABASE_ERRORS, SUPERUSER, as_role

TERMINATE = """
select pg_terminate_backend(pid) from pg_stat_activity
where backend_type = 'client backend' and pid <> pg_backend_pid()
"""


def requests_meet(trouble: Trouble, path: str, seconds: float, *, at_least: int = 1) -> Fault:
    """Return a fault in which the requests whose path fits, one at least, meet a trouble."""

    async def fault(scenario: Scenario) -> None:
        with scenario.proxy.trouble(path, trouble) as rule:
            await asyncio.sleep(seconds)
        assert rule.hits >= at_least

    return fault


def network_is_gone(seconds: float) -> Fault:
    async def fault(scenario: Scenario) -> None:
        await scenario.proxy.vanish()
        await asyncio.sleep(seconds)
        await scenario.proxy.return_again()

    return fault


async def postgres_restarts(scenario: Scenario) -> None:
    await scenario.running.restart_postgres()


async def postgres_dies(scenario: Scenario) -> None:
    await scenario.running.restart_postgres(signal.SIGKILL)


async def postgrest_dies(scenario: Scenario) -> None:
    postgrest(scenario.running).kill()
    await asyncio.sleep(1.0)


async def backends_are_terminated(scenario: Scenario) -> None:
    with suppress(*DATABASE_ERRORS):  # this one may be terminated, too
        connection = await asyncpg.connect(superuser(scenario.running))
        await connection.execute(TERMINATE)
        await connection.close()


async def realtime_closes(scenario: Scenario) -> None:
    await scenario.proxy.realtime.close()


async def realtime_resets(scenario: Scenario) -> None:
    scenario.proxy.realtime.reset()


async def realtime_tokens_expire(scenario: Scenario) -> None:
    await scenario.proxy.realtime.expire_tokens()


async def realtime_freezes(scenario: Scenario) -> None:
    """Freeze the connections that are there; a new one would work."""
    scenario.proxy.realtime.treat(Mode.FROZEN)
    scenario.proxy.realtime.treat_new(Mode.OPEN)


def superuser(running: RunningStack) -> str:
    return as_role(running.info.database_url, SUPERUSER)


def postgrest(running: RunningStack) -> psutil.Process:
    (found,) = (one for one in running.process.children() if one.name() == "postgrest")
    return found
