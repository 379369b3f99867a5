"""Realtime fails in every known way; the listener has to recover without the poll's help."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.harness import Harness
from tests.faults.injections import realtime_closes, realtime_resets, realtime_tokens_expire
from tests.faults.load import MAX_RECOVERY, WINDOW, busy, rate_from_now, slow_download
from tests.faults.proxy import OBJECTS
from tests.faults.realtime_proxy import Mode
from tests.faults.scenario import FULL, Fault, Plan, Scenario, full_only

NEVER = 3600.0  # seconds
# A connection that died without a sign is noticed by the next ping, after 24 s at most; after a
# long outage the next attempt is up to 30 s away.
PLAN = Plan(workers=1, poll=NEVER, allowed=36.0)
HOLD = 6.0  # seconds
WRITTEN_AT = """
select extract(epoch from at)::float8 as at from public.writes where session_id = $1
"""

pytestmark = pytest.mark.timeout(300)


async def frozen(scenario: Scenario) -> None:
    scenario.proxy.realtime.treat(Mode.FROZEN)
    await asyncio.sleep(HOLD)
    scenario.proxy.realtime.treat(Mode.OPEN)


def dead(mode: Mode) -> Fault:
    """Return what lets the connection that is there say nothing more; a new one would work."""

    async def fault(scenario: Scenario) -> None:
        await scenario.proxy.realtime.next_echo()
        scenario.proxy.realtime.treat(mode)
        scenario.proxy.realtime.treat_new(Mode.OPEN)

    return fault


def unreachable(mode: Mode, seconds: float = HOLD) -> Fault:
    """Return what ends every connection, and lets no new one work for some time."""

    async def fault(scenario: Scenario) -> None:
        scenario.proxy.realtime.treat_new(mode)
        scenario.proxy.realtime.reset()
        await asyncio.sleep(seconds)
        scenario.proxy.realtime.treat_new(Mode.OPEN)

    return fault


async def deaf(scenario: Scenario) -> None:
    """Every answer is as it should be, and no change comes, until the worker has noticed it."""
    scenario.proxy.realtime.treat_new(Mode.DEAF)
    scenario.proxy.realtime.reset()
    await scenario.fleet.members[0].until("realtime_deaf")
    scenario.proxy.realtime.treat(Mode.OPEN)


async def unpublished(scenario: Scenario) -> None:
    await scenario.queue.execute("alter publication supabase_realtime drop table therapy_sessions")
    await asyncio.sleep(HOLD)
    await scenario.queue.execute("alter publication supabase_realtime add table therapy_sessions")


async def unpublished_while_joining(scenario: Scenario) -> None:
    await scenario.queue.execute("alter publication supabase_realtime drop table therapy_sessions")
    scenario.proxy.realtime.reset()
    await asyncio.sleep(45.0)
    await scenario.queue.execute("alter publication supabase_realtime add table therapy_sessions")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("closed", realtime_closes),
        pytest.param("reset", realtime_resets, marks=full_only),
        pytest.param("frozen for some seconds", frozen, marks=full_only),
        pytest.param("half-open", dead(Mode.FROZEN), marks=full_only),
        pytest.param("silent: pongs, no heartbeats", dead(Mode.SILENT), marks=full_only),
        pytest.param("zombie channel: heartbeats, no events", dead(Mode.ZOMBIE), marks=full_only),
        pytest.param("refused", unreachable(Mode.REFUSED), marks=full_only),
        pytest.param("forbidden", unreachable(Mode.FORBIDDEN), marks=full_only),
        pytest.param("joins unanswered for 60 s", unreachable(Mode.SILENT, 60.0), marks=full_only),
        pytest.param("down for 60 s", unreachable(Mode.REFUSED, 60.0), marks=full_only),
        pytest.param("deaf though subscribed", deaf, marks=full_only),
        pytest.param("token expired", realtime_tokens_expire, marks=full_only),
        pytest.param("table out of the publication", unpublished, marks=full_only),
        pytest.param(
            "table out of the publication at the join", unpublished_while_joining, marks=full_only
        ),
    ],
)
async def test_the_worker_hears_inserts_again_after_realtime_failed(
    harness: Harness, name: str, fault: Fault
) -> None:
    async with harness.scenario(PLAN) as scenario:
        await scenario.fleet.members[0].until("realtime_ready")
        before = await busy_rate(scenario)
        missed = asyncio.create_task(insert_now_and_then(scenario))
        await fault(scenario)
        ended = time.time()
        missed.cancel()
        recovered = await heard_again(scenario)
        after = await busy_rate(scenario)
        await scenario.queue.until_done(seconds=60)
        ratio = after / before if before and after else None
        outcome = await harness.outcome(
            f"Realtime {name}", scenario, PLAN, recovered - ended, ratio
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


async def test_without_realtime_each_session_is_done_within_a_poll_and_a_second(
    harness: Harness,
) -> None:
    plan = Plan(workers=1, poll=2)
    latencies = []
    async with harness.scenario(plan) as scenario:
        scenario.proxy.realtime.treat(Mode.REFUSED)
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
    assert max(latencies) <= plan.poll + 1.0
