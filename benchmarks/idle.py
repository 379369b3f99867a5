"""A worker with nothing to do: requests, processor time and memory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from benchmarks.actors import ready_worker, rival
from benchmarks.harness import open_harness
from benchmarks.measurement import Measurement, Target
from benchmarks.processes import megabytes, processor_seconds
from benchmarks.relay import Relay
from benchmarks.run import Run
from worker.settings import DEFAULT_BUCKET, Settings

SETTLE = 5.0  # seconds for what belongs to the start
# Looked at process by process; the clients of Supabase and pydantic are most of the first.
HOLDS = (
    "about half is the worker's own, a quarter each of two readers, kept warm with numpy and c3d"
)
LOOK_EVERY = "1"  # seconds between two looks of the straightforward worker


@dataclass(frozen=True, slots=True)
class Idleness:
    """What a process did while it had nothing to do."""

    requests: float  # a minute
    processor: float  # % of a core
    memory: float  # MB


async def measure(run: Run) -> None:
    """Compare with the straightforward worker, which looks every second."""
    # As it is without further settings: uploads announce themselves, so the bucket is read hourly.
    every = Settings.model_fields["bucket_sweep_seconds"].default
    async with (
        open_harness(run.subfolder("idle")) as harness,
        Relay(harness.stack).serve() as relay,
    ):
        await harness.announces(DEFAULT_BUCKET)
        async with ready_worker(
            relay.stack, harness.folder, BUCKET_SWEEP_SECONDS=str(every)
        ) as worker:
            ours = await _idle(relay, worker.process.pid, run.sizes.idle_seconds)
        async with rival(relay.stack, "straightforward", LOOK_EVERY) as plain:
            other = await _idle(relay, plain.process.pid, run.sizes.idle_seconds)
    named = f"a straightforward worker that looks every {LOOK_EVERY} s"
    note = f"over {run.sizes.idle_seconds:.0f} s"
    run.add(
        Measurement(
            "idle: requests",
            ours.requests,
            other.requests,
            "a minute",
            named,
            Target("ours", 3),
            note=note,
        ),
        Measurement(
            "idle: processor",
            ours.processor,
            other.processor,
            "% of a core",
            named,
            Target("ours", 0.5),
            note=note,
        ),
        Measurement("idle: memory", ours.memory, other.memory, "MB", named, note=HOLDS),
    )


async def _idle(relay: Relay, pid: int, seconds: float) -> Idleness:
    await asyncio.sleep(SETTLE)
    relay.reset()
    spent, started = processor_seconds(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    passed = time.perf_counter() - started
    return Idleness(
        requests=relay.requests.total() * 60 / passed,
        processor=(processor_seconds(pid) - spent) * 100 / passed,
        memory=megabytes(pid),
    )
