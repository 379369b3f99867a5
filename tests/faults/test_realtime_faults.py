"""Realtime fails in every way it knows; with no sweep to help, the bell itself has to recover."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from tests.faults.proxy import OBJECTS
from tests.faults.realtime_proxy import Line
from tests.faults.scenario import (
    FULL,
    MAX_RECOVERY,
    WINDOW,
    Harness,
    Plan,
    Scenario,
    busy,
    full_only,
    rate_from_now,
    slow_download,
)

NEVER = 3600.0  # seconds
PLAN = Plan(workers=1, sweep=NEVER, allowed=15.0)
HOLD = 6.0  # seconds
WRITTEN_AT = """
select extract(epoch from at)::float8 as at from public.writes where session_id = $1
"""

Hold: TypeAlias = "Callable[[Scenario], Awaitable[None]]"

pytestmark = pytest.mark.timeout(300)


async def closed(scenario: Scenario) -> None:
    await scenario.proxy.bell.close()


async def reset(scenario: Scenario) -> None:
    scenario.proxy.bell.reset()


async def frozen(scenario: Scenario) -> None:
    scenario.proxy.bell.treat(Line.FROZEN)
    await asyncio.sleep(HOLD)
    scenario.proxy.bell.treat(Line.OPEN)


async def half_open(scenario: Scenario) -> None:
    """The socket that is there never says a word again; a new one would work."""
    await scenario.proxy.bell.next_echo()
    scenario.proxy.bell.treat(Line.FROZEN)
    scenario.proxy.bell.treat_new(Line.OPEN)


async def silent(scenario: Scenario) -> None:
    await scenario.proxy.bell.next_echo()
    scenario.proxy.bell.treat(Line.SILENT)
    scenario.proxy.bell.treat_new(Line.OPEN)


async def zombie(scenario: Scenario) -> None:
    await scenario.proxy.bell.next_echo()
    scenario.proxy.bell.treat(Line.ZOMBIE)
    scenario.proxy.bell.treat_new(Line.OPEN)


async def refused(scenario: Scenario) -> None:
    scenario.proxy.bell.treat_new(Line.REFUSED)
    scenario.proxy.bell.reset()
    await asyncio.sleep(HOLD)
    scenario.proxy.bell.treat_new(Line.OPEN)


async def forbidden(scenario: Scenario) -> None:
    scenario.proxy.bell.treat_new(Line.FORBIDDEN)
    scenario.proxy.bell.reset()
    await asyncio.sleep(HOLD)
    scenario.proxy.bell.treat_new(Line.OPEN)


async def unanswered(scenario: Scenario) -> None:
    """Connecting works, and then nothing comes, for as long as it lasts."""
    scenario.proxy.bell.treat_new(Line.SILENT)
    scenario.proxy.bell.reset()
    await asyncio.sleep(60.0)
    scenario.proxy.bell.treat_new(Line.OPEN)


async def down_for_a_minute(scenario: Scenario) -> None:
    scenario.proxy.bell.treat_new(Line.REFUSED)
    scenario.proxy.bell.reset()
    await asyncio.sleep(60.0)
    scenario.proxy.bell.treat_new(Line.OPEN)


async def expired(scenario: Scenario) -> None:
    await scenario.proxy.bell.expire_tokens()


async def unpublished(scenario: Scenario) -> None:
    await scenario.queue.execute("alter publication supabase_realtime drop table therapy_sessions")
    await asyncio.sleep(HOLD)
    await scenario.queue.execute("alter publication supabase_realtime add table therapy_sessions")


async def unpublished_while_joining(scenario: Scenario) -> None:
    await scenario.queue.execute("alter publication supabase_realtime drop table therapy_sessions")
    scenario.proxy.bell.reset()
    await asyncio.sleep(45.0)
    await scenario.queue.execute("alter publication supabase_realtime add table therapy_sessions")


@pytest.mark.parametrize(
    ("name", "hold"),
    [
        ("closed", closed),
        pytest.param("reset", reset, marks=full_only),
        pytest.param("frozen for some seconds", frozen, marks=full_only),
        pytest.param("half-open", half_open, marks=full_only),
        pytest.param("silent: pongs, no heartbeats", silent, marks=full_only),
        pytest.param("zombie channel: heartbeats, no events", zombie, marks=full_only),
        pytest.param("refused", refused, marks=full_only),
        pytest.param("forbidden", forbidden, marks=full_only),
        pytest.param("joins unanswered for 60 s", unanswered, marks=full_only),
        pytest.param("down for 60 s", down_for_a_minute, marks=full_only),
        pytest.param("token expired", expired, marks=full_only),
        pytest.param("table out of the publication", unpublished, marks=full_only),
        pytest.param(
            "table out of the publication at the join", unpublished_while_joining, marks=full_only
        ),
    ],
)
async def test_the_bell_rings_again(harness: Harness, name: str, hold: Hold) -> None:
    async with harness.scenario(PLAN) as scenario:
        await scenario.fleet.members[0].until("realtime_ready")
        before = await busy_rate(scenario)
        missed = asyncio.create_task(insert_now_and_then(scenario))
        await hold(scenario)
        lifted = time.time()
        missed.cancel()
        recovered = await heard_again(scenario)
        after = await busy_rate(scenario)
        await scenario.queue.until_done(seconds=60)
        ratio = after / before if before and after else None
        outcome = await harness.outcome(
            f"Realtime {name}", scenario, PLAN, recovered - lifted, ratio
        )
    outcome.check(attempts=0)


async def busy_rate(scenario: Scenario) -> float | None:
    """The rate of a busy worker; it is idle again afterwards."""
    queue = scenario.queue
    with scenario.proxy.trouble(OBJECTS, slow_download):
        async with busy(queue):
            await asyncio.sleep(1.0)
            found = await rate_from_now(queue, WINDOW)
        await queue.until_done(seconds=60)
    return found


async def insert_now_and_then(scenario: Scenario) -> None:
    while True:
        await scenario.queue.add(1)
        await asyncio.sleep(1.0)


async def heard_again(scenario: Scenario) -> float:
    """Insert a session each half second; return when the first was done of three heard at once.

    One alone may be found by chance: the worker also looks whenever a connection is lost.
    """
    heard: list[float] = []
    async with asyncio.timeout(MAX_RECOVERY):
        while len(heard) < 3:
            (session,) = await scenario.queue.add(1)
            await asyncio.sleep(0.5)
            done = await scenario.queue.rows(WRITTEN_AT, session)
            heard = [*heard, done[0]["at"]] if done else []
    return heard[0]


async def test_without_realtime_each_session_is_done_within_a_sweep_and_a_second(
    harness: Harness,
) -> None:
    plan = Plan(workers=1, sweep=2)
    latencies = []
    async with harness.scenario(plan) as scenario:
        scenario.proxy.bell.treat(Line.REFUSED)
        await scenario.fleet.members[0].until("realtime_lost")
        for _ in range(20 if FULL else 5):
            (session,) = await scenario.queue.add(1)
            inserted = time.time()
            await scenario.queue.until_done(seconds=30)
            found = await scenario.queue.rows(WRITTEN_AT, session)
            latencies.append(found[0]["at"] - inserted)
            await asyncio.sleep(0.37)
        name = "Realtime blocked entirely (slowest of all)"
        outcome = await harness.outcome(name, scenario, plan, max(latencies), None)
    outcome.check(attempts=0)
    assert max(latencies) <= plan.sweep + 1.0
