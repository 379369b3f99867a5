"""A backlog: sessions a second, and requests a session."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from benchmarks.actors import Rival, floor, ready_worker, rival
from benchmarks.harness import Harness, Recording, sessions_of_the_game
from benchmarks.measurement import Target, compared, in_turn
from benchmarks.relay import Relay
from benchmarks.run import Run

SETTLE = 0.3  # seconds for a worker that just started to be quiet


async def measure(run: Run) -> None:
    """Compare with the floor and with the straightforward worker."""
    harness = await run.harness()
    contents = sessions_of_the_game(run.sizes.session_seconds)
    recordings = await harness.recordings("game", contents, run.sizes.backlog)
    few = recordings[: run.sizes.straightforward]
    async with floor(harness.stack) as bare, rival(harness.stack, "straightforward") as plain:
        ours, lowest, simple = await in_turn(
            run.sizes.rounds,
            lambda: worked_off(harness, recordings),
            lambda: told(harness, recordings, bare),
            lambda: told(harness, few, plain),
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
    await _requests(run, harness, recordings)


async def _requests(run: Run, harness: Harness, recordings: Sequence[Recording]) -> None:
    """Count in rounds of their own: whoever counts costs time."""
    async with Relay(harness.stack).serve() as relay:
        await worked_off(harness, recordings, relay)
        ours = _each(relay, len(recordings))
        async with floor(relay.stack) as bare:
            await harness.clear()
            sessions = await harness.insert(recordings)
            relay.reset()
            await bare.work()
            await harness.written(sessions)
        lowest = _each(relay, len(recordings))
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
    harness: Harness,
    recordings: Sequence[Recording],
    relay: Relay | None = None,
    workers: int = 1,
    **settings: str,
) -> float:
    """Return sessions a second of workers that are given a backlog."""
    await harness.clear()
    async with asyncio.TaskGroup() as group:
        done = asyncio.Event()
        started = [asyncio.Event() for _ in range(workers)]
        for each in started:
            group.create_task(_serve(harness, relay, each, done, **settings))
        await asyncio.gather(*(each.wait() for each in started))
        await asyncio.sleep(SETTLE)
        if relay:
            relay.reset()
        rate = await _rate(harness, await harness.insert(recordings))
        done.set()
    return rate


async def told(harness: Harness, recordings: Sequence[Recording], program: Rival) -> float:
    """Return sessions a second of a rival that is told to work."""
    await harness.clear()
    sessions = await harness.insert(recordings)
    await program.work()
    return await _rate(harness, sessions)


async def _serve(
    harness: Harness,
    relay: Relay | None,
    started: asyncio.Event,
    done: asyncio.Event,
    **settings: str,
) -> None:
    stack = relay.stack if relay else harness.stack
    async with ready_worker(stack, harness.folder, **settings):
        started.set()
        await done.wait()


async def _rate(harness: Harness, sessions: Sequence[UUID]) -> float:
    """Count from the first tenth on: until then a worker hears of them and gets warm."""
    written = await harness.written(sessions)
    first = len(written) // 10
    return (len(written) - 1 - first) / (written[-1] - written[first])
