"""One fault from beginning to end: a busy fleet, the fault, its end, and what was measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.conftest import RunningStack
from tests.faults.fleet import Fleet
from tests.faults.load import (
    WINDOW,
    busy,
    rate_from_now,
    recovery,
    slow_download,
    until_completed,
)
from tests.faults.proxy import OBJECTS, Proxy
from tests.faults.results import Row
from tests.faults.scenario import FULL, Fault, Plan, Scenario
from tests.faults.sessions import Queue

SETTLE = 1.0  # seconds between the first completion and the rate
MAX_DRAIN = 120.0  # seconds until all that is left has to be done
# The short windows hold too few sessions for more; the full ones have the target. Those hold some
# 250 sessions, whose ratio is good to 0.05: a lower one is measured again, three times as long.
MIN_RATIO = 0.95 if FULL else 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured, and what a person wants to see when it was too much."""

    row: Row
    plan: Plan
    spent: int  # attempts
    ends: Sequence[str]  # workers' ends that nobody asked for
    lost: Sequence[str]
    unexpected: Sequence[str]

    def check(self, *, attempts: int | None = None) -> None:
        """Compare the row with its targets."""
        assert self.row.lost == 0, "\n".join(self.lost)
        assert self.row.twice == 0
        assert not self.ends, "\n".join(self.ends)
        assert not self.unexpected, "\n".join(self.unexpected)
        allowed = self.plan.allowed or self.plan.lease + self.plan.poll
        if self.row.recovery_s is not None:
            assert self.row.recovery_s <= allowed, f"{self.row}; allowed {allowed} s"
        if self.row.rate_ratio is not None:
            assert self.row.rate_ratio >= MIN_RATIO, str(self.row)
        if attempts is not None:
            assert self.spent <= attempts, f"{self.spent} attempts were spent"


Report: TypeAlias = "Callable[[Row], None]"


@dataclass(frozen=True, slots=True)
class Harness:
    """Runs scenarios on one stack, with sessions of recordings that were uploaded before."""

    running: RunningStack
    queue: Callable[[], Queue]
    folder: Path
    report: Report

    @asynccontextmanager
    async def scenario(self, plan: Plan) -> AsyncIterator[Scenario]:
        queue = self.queue()
        await queue.start()
        try:
            async with Proxy(self.running.info).serve() as proxy:
                fleet = Fleet(proxy.stack, self.folder, plan.environment())
                async with fleet.run(plan.workers):
                    yield Scenario(self.running, proxy, fleet, queue)
        finally:
            await queue.end()

    async def run_fault(
        self, name: str, fault: Fault, plan: Plan | None = None, *, attempts: int | None = None
    ) -> None:
        """Inject a fault while every worker is busy; measure and check how they recover.

        `attempts` limits those that the sessions spend beyond their first.
        """
        plan = plan or Plan()
        async with self.scenario(plan) as scenario:
            queue = scenario.queue
            with scenario.proxy.trouble(OBJECTS, slow_download):
                async with busy(queue):
                    await until_completed(queue, plan.workers * 4)
                    before = await rate_from_now(queue, WINDOW)
                    affected = await fault(scenario)
                    ended = time.time()
                    recovered = await recovery(scenario, ended, affected or [])
                    await asyncio.sleep(SETTLE)
                    after = await rate_from_now(queue, WINDOW)
                    if before and after and after < MIN_RATIO * before:
                        after = await rate_from_now(queue, 3 * WINDOW)
                await queue.until_done(seconds=MAX_DRAIN)
            ratio = after / before if before and after else None
            outcome = await self.outcome(name, scenario, plan, recovered - ended, ratio)
        outcome.check(attempts=attempts)

    async def outcome(
        self,
        name: str,
        scenario: Scenario,
        plan: Plan,
        recovery_s: float | None,
        ratio: float | None,
    ) -> Outcome:
        """Count what became of every session."""
        queue, bad = scenario.queue, scenario.bad
        good = [session for session in queue.made if session not in bad]
        lost = await queue.not_as("completed", "", good)
        for session, code in bad.items():
            lost += await queue.not_as("failed", f"{code}: %", [session])
        row = Row(
            name,
            len(queue.made),
            len(lost),
            await queue.twice(),
            None if recovery_s is None else round(recovery_s, 2),
            None if ratio is None else round(ratio, 3),
        )
        self.report(row)
        return Outcome(
            row,
            plan,
            await queue.spent(),
            list(scenario.fleet.exits),
            lost,
            scenario.fleet.unexpected(),
        )
