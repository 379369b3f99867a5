"""Minutes of random faults: memory, open files and stderr of the workers stay as they were."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import asyncpg
import psutil
import pytest

from tests.faults.bell_line import Line
from tests.faults.proxy import OBJECTS
from tests.faults.rules import Trouble, cut, delay, lose_reply, refuse, say
from tests.faults.scene import Plan, Scene, Stage, full_only
from tests.faults.test_database_faults import TERMINATE, answers, postgrest, superuser
from worker.local.postgres import DATABASE_ERRORS

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
ROUND = 120  # sessions in a round
SAMPLE = 1.0  # seconds
FLAT = 0.10
# The second minute against the last one; of a shorter soak, parts as long.
FIRST = (0.1, 0.2)
LAST = (0.9, 1.0)

Upset: TypeAlias = "Callable[[Scene], Awaitable[None]]"


@dataclass
class Curve:
    """One quantity of one worker over time."""

    points: list[tuple[float, float]] = field(default_factory=list)

    def median(self, part: tuple[float, float]) -> float:
        begin, end = (fraction * SECONDS for fraction in part)
        return statistics.median(value for at, value in self.points if begin <= at <= end)


@full_only
@pytest.mark.timeout(SECONDS + 300)
async def test_a_soak_of_random_faults_leaves_the_workers_as_they_were(
    stage: Stage, note: Callable[[str], None]
) -> None:
    dice = random.Random(7)
    plan = Plan(
        workers=2,
        lease=5,
        sweep=2,
        settings={"PYTHONWARNINGS": "default::ResourceWarning,default::RuntimeWarning"},
    )
    lost, twice, sessions = [], 0, 0
    async with stage.scene(plan) as scene:
        curves: dict[str, Curve] = {}
        watching = asyncio.create_task(watch(scene, curves))
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            await scene.queue.start()
            scene.queue.taken = 0
            made = await scene.queue.add(ROUND)
            for _ in range(dice.randint(1, 3)):
                await asyncio.sleep(dice.uniform(0.2, 1.0))
                await dice.choice(UPSETS)(scene)
            await scene.queue.until_done(seconds=90)
            lost += await scene.queue.not_as("completed", "", made)
            twice += await scene.queue.twice()
            sessions += len(made)
        assert not watching.done(), watching.result()
        watching.cancel()
        unexpected, ends = scene.fleet.unexpected(), list(scene.fleet.exits)
    assert not lost, "\n".join(lost[:10])
    assert twice == 0
    assert not ends, "\n".join(ends)
    assert not unexpected, "\n".join(unexpected[:20])
    assert len(curves) == 2 * plan.workers
    note(f"{sessions} sessions in {SECONDS:.0f} s, 0 lost, 0 twice")
    for name, curve in curves.items():
        first, last = curve.median(FIRST), curve.median(LAST)
        note(f"{name}: {first:.1f} at first, {last:.1f} in the end")
    for name, curve in curves.items():
        assert curve.median(LAST) <= curve.median(FIRST) * (1 + FLAT) + SLACK[name.split()[0]], name


SLACK = {"MB": 0.0, "descriptors": 2.0}  # a poll may meet one connection more


async def watch(scene: Scene, curves: dict[str, Curve]) -> None:
    """Weigh every worker once a second, until cancelled."""
    began = time.monotonic()
    while True:
        at = time.monotonic() - began
        for member in scene.fleet.members:
            if member.process is None:
                continue
            megabytes, descriptors = weighed(member.living())
            for name, value in (("MB", megabytes), ("descriptors", descriptors)):
                curve = curves.setdefault(f"{name} of worker {member.number}", Curve())
                curve.points.append((at, value))
        await asyncio.sleep(SAMPLE)


def weighed(worker: psutil.Process) -> tuple[float, float]:
    """Proportional memory in MB, and open descriptors, of a worker and its children."""
    megabytes, descriptors = 0.0, 0.0
    for process in [worker, *worker.children(recursive=True)]:
        try:
            megabytes += process.memory_full_info().pss / 1e6
            descriptors += process.num_fds()
        except psutil.NoSuchProcess:
            continue
    return megabytes, descriptors


async def _trouble(scene: Scene, path: str, trouble: Trouble, seconds: float) -> None:
    with scene.proxy.trouble(path, trouble):
        await asyncio.sleep(seconds)


async def no_reply(scene: Scene) -> None:
    await _trouble(scene, "^/rest/", lose_reply, 1.0)


async def no_rest(scene: Scene) -> None:
    await _trouble(scene, "^/rest/", refuse, 2.0)


async def late_rest(scene: Scene) -> None:
    await _trouble(scene, "^/rest/", delay(1.0), 3.0)


async def broken_gateway(scene: Scene) -> None:
    await _trouble(scene, "^/(rest|storage)/", say(502), 2.0)


async def cut_downloads(scene: Scene) -> None:
    await _trouble(scene, OBJECTS, cut, 2.0)


async def network(scene: Scene) -> None:
    await scene.proxy.vanish()
    await asyncio.sleep(2.0)
    await scene.proxy.return_again()


async def bell_reset(scene: Scene) -> None:
    scene.proxy.bell.reset()


async def bell_closed(scene: Scene) -> None:
    await scene.proxy.bell.close()


async def bell_expired(scene: Scene) -> None:
    await scene.proxy.bell.expire_tokens()


async def bell_half_open(scene: Scene) -> None:
    scene.proxy.bell.treat(Line.FROZEN)
    scene.proxy.bell.treat_new(Line.OPEN)


async def backends(scene: Scene) -> None:
    try:
        connection = await asyncpg.connect(superuser(scene.running))
        await connection.execute(TERMINATE)
        await connection.close()
    except DATABASE_ERRORS:
        pass


async def rest_killed(scene: Scene) -> None:
    postgrest(scene.running).kill()
    await asyncio.sleep(1.0)


async def database_restarted(scene: Scene) -> None:
    before = scene.running.postmaster()
    before.send_signal(signal.SIGINT)
    while before.is_running() or not await answers(scene.running):
        await asyncio.sleep(0.05)


UPSETS: tuple[Upset, ...] = (
    no_reply,
    no_rest,
    late_rest,
    broken_gateway,
    cut_downloads,
    network,
    bell_reset,
    bell_closed,
    bell_expired,
    bell_half_open,
    backends,
    rest_killed,
    database_restarted,
)
