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

from tests.faults.proxy import OBJECTS
from tests.faults.rules import Exchange, throttle
from tests.faults.scene import (
    SETTLE,
    WINDOW,
    Plan,
    Scene,
    Stage,
    busy,
    full_only,
    rate_from_now,
    recovery,
    slow_download,
)

KILLS, SESSIONS, WORKERS = 50, 2000, 3
ALONE = Plan(workers=1, allowed=12.0)  # a lease and a sweep, and its own start
PAIR = Plan(allowed=12.0)

pytestmark = pytest.mark.timeout(240)


async def test_a_worker_killed_amid_downloads_loses_nothing(stage: Stage) -> None:
    async def fault(scene: Scene) -> Sequence[UUID]:
        with scene.proxy.trouble(OBJECTS, throttle(16_000)) as rule:
            await rule.struck.wait()
            await asyncio.sleep(0.7)
            struck = await scene.in_hand()
            orphans = scene.fleet.members[0].kill()
        assert_gone(orphans)
        return struck

    outcome = await stage.suffer("worker killed mid-download", fault, PAIR)
    outcome.check()


@full_only
async def test_a_worker_killed_while_reading_loses_nothing(stage: Stage) -> None:
    async def fault(scene: Scene) -> Sequence[UUID]:
        member = scene.fleet.members[0]
        children = scene.children()
        for child in children:
            child.suspend()
        await member.until("downloaded", after=member.said["read"])
        struck = await scene.in_hand()
        orphans = member.kill()
        for child in children:
            child.resume()
        assert_gone(orphans)
        return struck

    outcome = await stage.suffer("worker killed mid-extract", fault, PAIR)
    outcome.check()


@full_only
@pytest.mark.parametrize("applied", [False, True], ids=["before it is done", "after it is done"])
async def test_a_worker_killed_while_completing_loses_nothing(
    stage: Stage, *, applied: bool
) -> None:
    async def fault(scene: Scene) -> Sequence[UUID]:
        async def kill(exchange: Exchange) -> web.StreamResponse:
            if applied:
                await exchange.pass_on()
            orphans.extend(scene.fleet.members[0].kill())
            return exchange.hang_up()

        orphans: list[psutil.Process] = []
        with scene.proxy.trouble("/rpc/complete_sessions$", kill, times=1) as rule:
            await rule.struck.wait()
            await asyncio.sleep(0.2)
        assert_gone(orphans)
        return await scene.in_hand()

    when = "after" if applied else "before"
    outcome = await stage.suffer(f"worker killed mid-complete, {when} it is done", fault, ALONE)
    outcome.check()


@full_only
async def test_a_completion_that_arrives_after_its_worker_died_loses_nothing(
    stage: Stage,
) -> None:
    async def fault(scene: Scene) -> None:
        async def kill_and_deliver_late(exchange: Exchange) -> web.StreamResponse:
            scene.fleet.members[0].kill()
            await asyncio.sleep(6.0)  # the lease is over
            return await exchange.deliver()

        with scene.proxy.trouble("/rpc/complete_sessions$", kill_and_deliver_late, times=1) as rule:
            await rule.struck.wait()
            await asyncio.sleep(7.0)

    outcome = await stage.suffer("completion delivered after the lease of a dead worker", fault)
    outcome.check()


@full_only
async def test_a_worker_that_stands_still_for_longer_than_its_lease_repeats_nothing(
    stage: Stage,
) -> None:
    async def fault(scene: Scene) -> Sequence[UUID]:
        frozen = scene.fleet.members[0].living()
        frozen.suspend()
        struck = await scene.in_hand()
        await asyncio.sleep(9.0)
        frozen.resume()
        return struck

    outcome = await stage.suffer("worker frozen for longer than its lease", fault)
    outcome.check()


@full_only
async def test_a_reader_that_is_killed_costs_no_session(stage: Stage) -> None:
    async def fault(scene: Scene) -> Sequence[UUID]:
        member = scene.fleet.members[0]
        children = scene.children()
        for child in children:
            child.suspend()
        await member.until("downloaded", after=member.said["read"])
        await asyncio.sleep(0.5)
        struck = await scene.in_hand()
        for child in children:
            child.kill()
        return struck

    plan = Plan(allowed=20.0)  # it is tried again after some seconds
    outcome = await stage.suffer("reading child killed, as by the OOM killer", fault, plan)
    outcome.check()


@full_only
@pytest.mark.timeout(600)
async def test_fifty_kills_at_random_moments_lose_nothing(stage: Stage) -> None:
    dice = random.Random(4)
    plan = Plan(workers=WORKERS, lease=5, sweep=1)
    async with stage.scene(plan) as scene:
        with scene.proxy.trouble(OBJECTS, slow_download):
            await scene.queue.add(SESSIONS)
            await scene.fleet.members[0].until("session_done")
            before = await rate_from_now(scene.queue, WINDOW)
            for _ in range(KILLS):
                await asyncio.sleep(dice.uniform(0.1, 1.2))
                dice.choice(scene.fleet.members).kill()
            lifted = time.time()
            async with busy(scene.queue):
                recovered = await recovery(scene, lifted, [])
                await asyncio.sleep(SETTLE)
                after = await rate_from_now(scene.queue, WINDOW)
            await scene.queue.until_done(seconds=300)
        ratio = after / before if before and after else None
        name = f"{KILLS} kills at random moments, {WORKERS} workers"
        outcome = await stage.outcome(name, scene, plan, recovered - lifted, ratio)
        outcome.check()


def assert_gone(orphans: Sequence[psutil.Process]) -> None:
    """The children of a dead worker must not live on: each holds memory, for ever."""
    _, left = psutil.wait_procs(orphans, timeout=5)
    assert not [one for one in left if one.status() != psutil.STATUS_ZOMBIE]
