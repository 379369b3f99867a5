"""A backlog: sessions a second, and requests a session."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from benchmarks.actors import Rival, floor, ready_worker, rival
from benchmarks.measurement import Target, compared, in_turn
from benchmarks.relay import Relay
from benchmarks.run import Run
from benchmarks.stage import Recording, Stage, sessions_of_the_game

SETTLE = 0.3  # seconds for a worker that just started to be quiet


async def measure(run: Run) -> None:
    """Compare with the floor and with the straightforward worker."""
    stage = await run.stage()
    contents = sessions_of_the_game(run.sizes.session_seconds)
    stock = await stage.stock("game", contents, run.sizes.backlog)
    few = stock[: run.sizes.straightforward]
    async with floor(stage.stack) as bare, rival(stage.stack, "straightforward") as plain:
        ours, lowest, simple = await in_turn(
            run.sizes.rounds,
            lambda: worked_off(stage, stock),
            lambda: told(stage, stock, bare),
            lambda: told(stage, few, plain),
        )
    run.add(
        compared(
            "backlog, against the floor",
            "sessions/s",
            ours,
            lowest,
            "the floor: bare httpx requests, bare reading",
            target=Target("ratio", 0.85, at_least=True),
        ),
        compared(
            "backlog, against a straightforward worker",
            "sessions/s",
            ours,
            simple,
            "supabase-py and c3d, one session after another",
            target=Target("ratio", 5, at_least=True),
        ),
    )
    await _requests(run, stage, stock)


async def _requests(run: Run, stage: Stage, stock: Sequence[Recording]) -> None:
    """Count in rounds of their own: whoever counts costs time."""
    async with Relay(stage.stack).serve() as relay:
        await worked_off(stage, stock, relay)
        ours = _each(relay, len(stock))
        async with floor(relay.stack) as bare:
            await stage.clear()
            sessions = await stage.insert(stock)
            relay.reset()
            await bare.work()
            await stage.written(sessions)
        lowest = _each(relay, len(stock))
    run.add(
        compared(
            "HTTP requests in a backlog",
            "a session",
            [ours.total()],
            [lowest.total()],
            "the floor's",
            target=Target("ours", 1.5),
            note=", ".join(f"{kind} {count:.2f}" for kind, count in ours.most_common()),
        )
    )


def _each(relay: Relay, sessions: int) -> Counter[str]:
    """Requests a session, by kind."""
    return Counter({kind: count / sessions for kind, count in relay.requests.items()})


async def worked_off(
    stage: Stage, stock: Sequence[Recording], relay: Relay | None = None, workers: int = 1
) -> float:
    """Return sessions a second of workers that are given a backlog."""
    await stage.clear()
    async with asyncio.TaskGroup() as group:
        done = asyncio.Event()
        started = [asyncio.Event() for _ in range(workers)]
        for each in started:
            group.create_task(_serve(stage, relay, each, done))
        await asyncio.gather(*(each.wait() for each in started))
        await asyncio.sleep(SETTLE)
        if relay:
            relay.reset()
        rate = await _rate(stage, await stage.insert(stock))
        done.set()
    return rate


async def told(stage: Stage, stock: Sequence[Recording], program: Rival) -> float:
    """Return sessions a second of a rival that is told to work."""
    await stage.clear()
    sessions = await stage.insert(stock)
    await program.work()
    return await _rate(stage, sessions)


async def _serve(
    stage: Stage, relay: Relay | None, started: asyncio.Event, done: asyncio.Event
) -> None:
    async with ready_worker(relay.stack if relay else stage.stack, stage.folder):
        started.set()
        await done.wait()


async def _rate(stage: Stage, sessions: Sequence[UUID]) -> float:
    """Count from the first tenth on: until then a worker hears of them and gets warm."""
    written = await stage.written(sessions)
    first = len(written) // 10
    return (len(written) - 1 - first) / (written[-1] - written[first])
