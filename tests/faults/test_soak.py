"""Minutes of random faults: memory, open files and stderr of the workers stay as they were."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import psutil
import pytest

from tests.faults.harness import Harness
from tests.faults.injections import (
    backends_are_terminated,
    network_is_gone,
    postgres_restarts,
    postgrest_dies,
    realtime_closes,
    realtime_freezes,
    realtime_resets,
    realtime_tokens_expire,
    requests_meet,
)
from tests.faults.proxy import OBJECTS
from tests.faults.rules import cut, delay, lose_reply, refuse, say
from tests.faults.scenario import Fault, Plan, Scenario, full_only
from worker.previews.pictures import MAX_WAITING_BYTES

SECONDS = float(os.environ.get("SOAK_SECONDS", "300"))
ROUND = 120  # sessions in a round
SAMPLE = 1.0  # seconds
FLAT = 0.10
# Parts of the soak, the second against the last.
FIRST = (0.1, 0.2)
LAST = (0.9, 1.0)
# Sessions come faster than they are drawn here, so the pictures that wait grow to their bound.
WAITING = {"off": 0.0, "on": MAX_WAITING_BYTES / 1e6}  # MB


@dataclass
class Curve:
    """One quantity of one worker over time."""

    points: list[tuple[float, float]] = field(default_factory=list)

    def median(self, part: tuple[float, float]) -> float:
        begin, end = (fraction * SECONDS for fraction in part)
        return statistics.median(value for at, value in self.points if begin <= at <= end)


@full_only
@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("previews", WAITING)
async def test_a_soak_of_random_faults_leaves_the_workers_as_they_were(
    harness: Harness, note: Callable[[str], None], previews: str
) -> None:
    rng = random.Random(7)
    plan = Plan(
        workers=2,
        lease=5,
        poll=2,
        settings={
            "PREVIEWS": previews,
            "PYTHONWARNINGS": "default::ResourceWarning,default::RuntimeWarning",
        },
    )
    lost, twice, sessions = [], 0, 0
    async with harness.scenario(plan) as scenario:
        for member in scenario.fleet.members:  # in trouble, one that starts ends at once
            await member.until("worker_started")
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
    note(f"pictures {previews}: {sessions} sessions in {SECONDS:.0f} s, 0 lost, 0 twice")
    for name, curve in curves.items():
        first, last = curve.median(FIRST), curve.median(LAST)
        note(f"{name}: {first:.1f} at first, {last:.1f} in the end")
    slack = {"MB": WAITING[previews], "descriptors": 2.0}  # a sample may see one connection more
    for name, curve in curves.items():
        assert curve.median(LAST) <= curve.median(FIRST) * (1 + FLAT) + slack[name.split()[0]], name


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


# The workers may be done with a round before a request of theirs meets its trouble.
possibly = partial(requests_meet, at_least=0)
UPSETS: tuple[Fault, ...] = (
    possibly(lose_reply, "^/rest/", 1.0),
    possibly(refuse, "^/rest/", 2.0),
    possibly(delay(1.0), "^/rest/", 3.0),
    possibly(say(502), "^/(rest|storage)/", 2.0),
    possibly(cut, OBJECTS, 2.0),
    network_is_gone(2.0),
    realtime_resets,
    realtime_closes,
    realtime_tokens_expire,
    realtime_freezes,
    backends_are_terminated,
    postgrest_dies,
    postgres_restarts,
)
