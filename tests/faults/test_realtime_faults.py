"""Realtime fails in every way it knows; with no sweep to help, the bell itself has to recover."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from tests.faults.bell_line import Line
from tests.faults.proxy import OBJECTS
from tests.faults.scene import (
    FULL,
    MOST_RECOVERY,
    WINDOW,
    Plan,
    Scene,
    Stage,
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

Hold: TypeAlias = "Callable[[Scene], Awaitable[None]]"

pytestmark = pytest.mark.timeout(300)


async def closed(scene: Scene) -> None:
    await scene.proxy.bell.close()


async def reset(scene: Scene) -> None:
    scene.proxy.bell.reset()


async def frozen(scene: Scene) -> None:
    scene.proxy.bell.treat(Line.FROZEN)
    await asyncio.sleep(HOLD)
    scene.proxy.bell.treat(Line.OPEN)


async def half_open(scene: Scene) -> None:
    """The socket that is there never says a word again; a new one would work."""
    await scene.proxy.bell.next_echo()
    scene.proxy.bell.treat(Line.FROZEN)
    scene.proxy.bell.treat_new(Line.OPEN)


async def silent(scene: Scene) -> None:
    await scene.proxy.bell.next_echo()
    scene.proxy.bell.treat(Line.SILENT)
    scene.proxy.bell.treat_new(Line.OPEN)


async def zombie(scene: Scene) -> None:
    await scene.proxy.bell.next_echo()
    scene.proxy.bell.treat(Line.ZOMBIE)
    scene.proxy.bell.treat_new(Line.OPEN)


async def refused(scene: Scene) -> None:
    scene.proxy.bell.treat_new(Line.REFUSED)
    scene.proxy.bell.reset()
    await asyncio.sleep(HOLD)
    scene.proxy.bell.treat_new(Line.OPEN)


async def forbidden(scene: Scene) -> None:
    scene.proxy.bell.treat_new(Line.FORBIDDEN)
    scene.proxy.bell.reset()
    await asyncio.sleep(HOLD)
    scene.proxy.bell.treat_new(Line.OPEN)


async def unanswered(scene: Scene) -> None:
    """Connecting works, and then nothing comes, for as long as it lasts."""
    scene.proxy.bell.treat_new(Line.SILENT)
    scene.proxy.bell.reset()
    await asyncio.sleep(60.0)
    scene.proxy.bell.treat_new(Line.OPEN)


async def down_for_a_minute(scene: Scene) -> None:
    scene.proxy.bell.treat_new(Line.REFUSED)
    scene.proxy.bell.reset()
    await asyncio.sleep(60.0)
    scene.proxy.bell.treat_new(Line.OPEN)


async def expired(scene: Scene) -> None:
    await scene.proxy.bell.expire_tokens()


async def unpublished(scene: Scene) -> None:
    await scene.queue.execute("alter publication supabase_realtime drop table therapy_sessions")
    await asyncio.sleep(HOLD)
    await scene.queue.execute("alter publication supabase_realtime add table therapy_sessions")


async def unpublished_while_joining(scene: Scene) -> None:
    await scene.queue.execute("alter publication supabase_realtime drop table therapy_sessions")
    scene.proxy.bell.reset()
    await asyncio.sleep(45.0)
    await scene.queue.execute("alter publication supabase_realtime add table therapy_sessions")


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
async def test_the_bell_rings_again(stage: Stage, name: str, hold: Hold) -> None:
    async with stage.scene(PLAN) as scene:
        await scene.fleet.members[0].until("realtime_ready")
        before = await busy_rate(scene)
        missed = asyncio.create_task(insert_now_and_then(scene))
        await hold(scene)
        lifted = time.time()
        missed.cancel()
        recovered = await heard_again(scene)
        after = await busy_rate(scene)
        await scene.queue.until_done(seconds=60)
        ratio = after / before if before and after else None
        outcome = await stage.outcome(f"Realtime {name}", scene, PLAN, recovered - lifted, ratio)
    outcome.check(attempts=0)


async def busy_rate(scene: Scene) -> float | None:
    """The rate of a busy worker; it is idle again afterwards."""
    queue = scene.queue
    with scene.proxy.trouble(OBJECTS, slow_download):
        async with busy(queue):
            await asyncio.sleep(1.0)
            found = await rate_from_now(queue, WINDOW)
        await queue.until_done(seconds=60)
    return found


async def insert_now_and_then(scene: Scene) -> None:
    while True:
        await scene.queue.add(1)
        await asyncio.sleep(1.0)


async def heard_again(scene: Scene) -> float:
    """Insert a session each half second; return when the first was done of three heard at once.

    One alone may be found by chance: the worker also looks whenever a connection is lost.
    """
    heard: list[float] = []
    async with asyncio.timeout(MOST_RECOVERY):
        while len(heard) < 3:
            (session,) = await scene.queue.add(1)
            await asyncio.sleep(0.5)
            done = await scene.queue.rows(WRITTEN_AT, session)
            heard = [*heard, done[0]["at"]] if done else []
    return heard[0]


async def test_without_realtime_each_session_is_done_within_a_sweep_and_a_second(
    stage: Stage,
) -> None:
    plan = Plan(workers=1, sweep=2)
    latencies = []
    async with stage.scene(plan) as scene:
        scene.proxy.bell.treat(Line.REFUSED)
        await scene.fleet.members[0].until("realtime_lost")
        for _ in range(20 if FULL else 5):
            (session,) = await scene.queue.add(1)
            inserted = time.time()
            await scene.queue.until_done(seconds=30)
            found = await scene.queue.rows(WRITTEN_AT, session)
            latencies.append(found[0]["at"] - inserted)
            await asyncio.sleep(0.37)
        name = "Realtime blocked entirely (slowest of all)"
        outcome = await stage.outcome(name, scene, plan, max(latencies), None)
    outcome.check(attempts=0)
    assert max(latencies) <= plan.sweep + 1.0
