"""Workers that die at the worst moments: their leases give their sessions back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from uuid import UUID

import psutil
import pytest
from aiohttp import web

from tests.faults.harness import SETTLE, Harness
from tests.faults.load import WINDOW, busy, rate_from_now, recovery, slow_download
from tests.faults.proxy import OBJECTS
from tests.faults.rules import Exchange, throttle
from tests.faults.scenario import Plan, Scenario, full_only

KILLS, SESSIONS, WORKERS = 50, 2000, 3
ALONE = Plan(workers=1, allowed=12.0)  # a lease and a poll, and its own start
PAIR = Plan(allowed=12.0)

pytestmark = pytest.mark.timeout(240)


async def test_a_worker_killed_amid_downloads_loses_nothing(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> Sequence[UUID]:
        with scenario.proxy.trouble(OBJECTS, throttle(16_000)) as rule:
            await rule.applied.wait()
            await asyncio.sleep(0.7)
            affected = await scenario.active()
            orphans = scenario.fleet.members[0].kill()
        assert_gone(orphans)
        return affected

    await harness.run_fault("worker killed mid-download", fault, PAIR)


@full_only
async def test_a_worker_killed_while_reading_loses_nothing(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> Sequence[UUID]:
        member = scenario.fleet.members[0]
        children = scenario.children()
        for child in children:
            child.suspend()
        await member.until("downloaded", after=member.said["read"])
        affected = await scenario.active()
        orphans = member.kill()
        for child in children:
            child.resume()
        assert_gone(orphans)
        return affected

    await harness.run_fault("worker killed mid-extract", fault, PAIR)


@full_only
@pytest.mark.parametrize("applied", [False, True], ids=["before it is done", "after it is done"])
async def test_a_worker_killed_while_completing_loses_nothing(
    harness: Harness, *, applied: bool
) -> None:
    async def fault(scenario: Scenario) -> Sequence[UUID]:
        async def kill(exchange: Exchange) -> web.StreamResponse:
            if applied:
                await exchange.pass_on()
            orphans.extend(scenario.fleet.members[0].kill())
            return exchange.hang_up()

        orphans: list[psutil.Process] = []
        with scenario.proxy.trouble("/rpc/complete_sessions$", kill, times=1) as rule:
            await rule.applied.wait()
            await asyncio.sleep(0.2)
        assert_gone(orphans)
        return await scenario.active()

    when = "after" if applied else "before"
    await harness.run_fault(f"worker killed mid-complete, {when} it is done", fault, ALONE)


@full_only
async def test_a_completion_that_arrives_after_its_worker_died_loses_nothing(
    harness: Harness,
) -> None:
    async def fault(scenario: Scenario) -> None:
        async def kill_and_deliver_late(exchange: Exchange) -> web.StreamResponse:
            scenario.fleet.members[0].kill()
            await asyncio.sleep(6.0)  # the lease is over
            return await exchange.deliver()

        with scenario.proxy.trouble(
            "/rpc/complete_sessions$", kill_and_deliver_late, times=1
        ) as rule:
            await rule.applied.wait()
            await asyncio.sleep(7.0)

    await harness.run_fault("completion delivered after the lease of a dead worker", fault)


@full_only
async def test_a_worker_that_stands_still_for_longer_than_its_lease_repeats_nothing(
    harness: Harness,
) -> None:
    async def fault(scenario: Scenario) -> Sequence[UUID]:
        frozen = scenario.fleet.members[0].living()
        frozen.suspend()
        affected = await scenario.active()
        await asyncio.sleep(9.0)
        frozen.resume()
        return affected

    await harness.run_fault("worker frozen for longer than its lease", fault)


@full_only
async def test_a_reader_that_is_killed_costs_no_session(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> Sequence[UUID]:
        member = scenario.fleet.members[0]
        children = scenario.children()
        for child in children:
            child.suspend()
        await member.until("downloaded", after=member.said["read"])
        await asyncio.sleep(0.5)
        affected = await scenario.active()
        for child in children:
            child.kill()
        return affected

    plan = Plan(allowed=20.0)  # the retry comes after some seconds
    await harness.run_fault("reading child killed, as by the OOM killer", fault, plan)


@full_only
@pytest.mark.timeout(600)
async def test_fifty_kills_at_random_moments_lose_nothing(harness: Harness) -> None:
    rng = random.Random(4)
    plan = Plan(workers=WORKERS, lease=5, poll=1)
    async with harness.scenario(plan) as scenario:
        with scenario.proxy.trouble(OBJECTS, slow_download):
            await scenario.queue.add(SESSIONS)
            await scenario.fleet.members[0].until("session_done")
            before = await rate_from_now(scenario.queue, WINDOW)
            for _ in range(KILLS):
                await asyncio.sleep(rng.uniform(0.1, 1.2))
                rng.choice(scenario.fleet.members).kill()
            ended = time.time()
            async with busy(scenario.queue):
                recovered = await recovery(scenario, ended, [])
                await asyncio.sleep(SETTLE)
                after = await rate_from_now(scenario.queue, WINDOW)
            await scenario.queue.until_done(seconds=300)
        ratio = after / before if before and after else None
        name = f"{KILLS} kills at random moments, {WORKERS} workers"
        outcome = await harness.outcome(name, scenario, plan, recovered - ended, ratio)
        outcome.check()


def assert_gone(orphans: Sequence[psutil.Process]) -> None:
    """The children of a dead worker must not live on: each holds memory, for ever."""
    _, left = psutil.wait_procs(orphans, timeout=5)
    assert not [one for one in left if one.status() != psutil.STATUS_ZOMBIE]
