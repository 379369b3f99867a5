"""Work that keeps a fleet busy, and what can be measured of it.

The fleet is kept busy by slow downloads rather than by a full processor, so that the rate before
and after a fault says something about the worker and little about the machine.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from aiohttp import web

from tests.faults.rules import Exchange
from tests.faults.scenario import FULL, Scenario
from tests.faults.sessions import Queue

WINDOW = 10.0 if FULL else 1.5  # seconds over which a rate is measured
ENOUGH = 20  # completions, for a rate
DEPTH = 40 if FULL else 24  # sessions that are always pending
DOWNLOAD = (0.2, 0.4)  # seconds that a download takes
MAX_RECOVERY = 120.0  # seconds until a scenario is given up


@asynccontextmanager
async def busy(queue: Queue) -> AsyncIterator[None]:
    """Keep sessions pending, so that no worker is ever idle."""

    async def feed() -> None:
        while True:
            if (missing := DEPTH - await queue.pending()) > 0:
                await queue.add(missing)
            await asyncio.sleep(0.2)

    feeding = asyncio.create_task(feed())
    try:
        yield
        if feeding.done():
            await feeding
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def slow_download(exchange: Exchange) -> web.StreamResponse:
    await asyncio.sleep(random.uniform(*DOWNLOAD))
    return await exchange.deliver()


async def until_completed(queue: Queue, count: int) -> None:
    async with asyncio.timeout(60):
        while len(await queue.completions()) < count:
            await asyncio.sleep(0.1)


async def recovery(scenario: Scenario, ended: float, affected: Sequence[UUID]) -> float:
    """Wait until every worker has finished a session since the fault ended; return when it had.

    The first worker to come back says little of the last one. The affected sessions have to be
    completed, too.
    """
    async with asyncio.timeout(MAX_RECOVERY):
        while True:
            done = [[at for at in each.done_at if at > ended] for each in scenario.fleet.members]
            if all(done) and not await scenario.queue.not_as("completed", "", affected):
                written = await scenario.queue.rows(
                    "select extract(epoch from max(at))::float8 as at from public.writes"
                    " where session_id = any ($1)",
                    list(affected),
                )
                return max(*(each[0] for each in done), written[0]["at"] or 0.0, ended)
            await asyncio.sleep(0.05)


async def rate_from_now(queue: Queue, seconds: float) -> float | None:
    """Sessions completed per second from now on, for so many seconds."""
    begin = time.time()
    await asyncio.sleep(seconds)
    end = time.time()
    count = len([at for at in await queue.completions(begin) if at <= end])
    return count / (end - begin) if count >= ENOUGH else None
