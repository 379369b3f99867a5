"""Minutes of random faults: memory, open files and stderr of the workers stay as they were."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import psutil
import pytest

from tests.faults.harness import Harness
from tests.faults.proxy import OBJECTS
from tests.faults.realtime_proxy import Mode
from tests.faults.rules import Trouble, cut, delay, lose_reply, refuse, say
from tests.faults.scenario import Plan, Scenario, full_only
from tests.faults.test_database_faults import postgrest, terminate_backends

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
ROUND = 120  # sessions in a round
SAMPLE = 1.0  # seconds
FLAT = 0.10
SLACK = {"MB": 0.0, "descriptors": 2.0}  # a sample may see one connection more
# The second minute against the last one; of a shorter soak, parts as long.
FIRST = (0.1, 0.2)
LAST = (0.9, 1.0)

Upset: TypeAlias = "Callable[[Scenario], Awaitable[None]]"


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
    harness: Harness, note: Callable[[str], None]
) -> None:
    rng = random.Random(7)
    plan = Plan(
        workers=2,
        lease=5,
        poll=2,
        settings={"PYTHONWARNINGS": "default::ResourceWarning,default::RuntimeWarning"},
    )
    lost, twice, sessions = [], 0, 0
    async with harness.scenario(plan) as scenario:
        curves: dict[str, Curve] = {}
        watching = asyncio.create_task(watch(scenario, curves))
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            await scenario.queue.start()
            scenario.queue.used = 0
            made = await scenario.queue.add(ROUND)
            for _ in range(rng.randint(1, 3)):
                await asyncio.sleep(rng.uniform(0.2, 1.0))
                await rng.choice(UPSETS)(scenario)
            await scenario.queue.until_done(seconds=90)
            lost += await scenario.queue.not_as("completed", "", made)
            twice += await scenario.queue.twice()
            sessions += len(made)
        assert not watching.done(), watching.result()
        watching.cancel()
        unexpected, ends = scenario.fleet.unexpected(), list(scenario.fleet.exits)
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


async def watch(scenario: Scenario, curves: dict[str, Curve]) -> None:
    """Measure every worker once per second, until cancelled."""
    began = time.monotonic()
    while True:
        at = time.monotonic() - began
        for member in scenario.fleet.members:
            if member.process is None:
                continue
            megabytes, descriptors = measured(member.living())
            for name, value in (("MB", megabytes), ("descriptors", descriptors)):
                curve = curves.setdefault(f"{name} of worker {member.number}", Curve())
                curve.points.append((at, value))
        await asyncio.sleep(SAMPLE)


def measured(worker: psutil.Process) -> tuple[float, float]:
    """Proportional memory in MB, and open descriptors, of a worker and its children."""
    megabytes, descriptors = 0.0, 0.0
    for process in [worker, *worker.children(recursive=True)]:
        try:
            megabytes += process.memory_full_info().pss / 1e6
            descriptors += process.num_fds()
        except psutil.NoSuchProcess:
            continue
    return megabytes, descriptors


async def _trouble(scenario: Scenario, path: str, trouble: Trouble, seconds: float) -> None:
    with scenario.proxy.trouble(path, trouble):
        await asyncio.sleep(seconds)


async def no_reply(scenario: Scenario) -> None:
    await _trouble(scenario, "^/rest/", lose_reply, 1.0)


async def no_rest(scenario: Scenario) -> None:
    await _trouble(scenario, "^/rest/", refuse, 2.0)


async def late_rest(scenario: Scenario) -> None:
    await _trouble(scenario, "^/rest/", delay(1.0), 3.0)


async def broken_gateway(scenario: Scenario) -> None:
    await _trouble(scenario, "^/(rest|storage)/", say(502), 2.0)


async def cut_downloads(scenario: Scenario) -> None:
    await _trouble(scenario, OBJECTS, cut, 2.0)


async def network(scenario: Scenario) -> None:
    await scenario.proxy.vanish()
    await asyncio.sleep(2.0)
    await scenario.proxy.return_again()


async def realtime_reset(scenario: Scenario) -> None:
    scenario.proxy.realtime.reset()


async def realtime_closed(scenario: Scenario) -> None:
    await scenario.proxy.realtime.close()


async def realtime_expired(scenario: Scenario) -> None:
    await scenario.proxy.realtime.expire_tokens()


async def realtime_half_open(scenario: Scenario) -> None:
    scenario.proxy.realtime.treat(Mode.FROZEN)
    scenario.proxy.realtime.treat_new(Mode.OPEN)


async def backends(scenario: Scenario) -> None:
    await terminate_backends(scenario.running)


async def rest_killed(scenario: Scenario) -> None:
    postgrest(scenario.running).kill()
    await asyncio.sleep(1.0)


async def database_restarted(scenario: Scenario) -> None:
    await scenario.running.restart_postgres()


UPSETS: tuple[Upset, ...] = (
    no_reply,
    no_rest,
    late_rest,
    broken_gateway,
    cut_downloads,
    network,
    realtime_reset,
    realtime_closed,
    realtime_expired,
    realtime_half_open,
    backends,
    rest_killed,
    database_restarted,
)
