"""What leaves Storage for each byte that was uploaded, until the upload has its technical row."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from benchmarks.actors import ready_worker
from benchmarks.harness import Harness, open_harness
from benchmarks.measurement import Measurement, Target
from benchmarks.relay import Relay
from benchmarks.run import Run
from worker.local.recordings import ghostly_recording
from worker.settings import DEFAULT_BUCKET

SECONDS = 5.0  # of a recording; all have the same size, so that downloads count their bytes
LOOK_EVERY = 0.2  # seconds
ROWS = "select count(*) from public.c3d_technical_data"


async def measure(run: Run) -> None:
    """Upload to one worker, and many at once to several; count the downloads of all of them."""
    async with open_harness(run.subfolder("egress")) as harness:
        await harness.announces(DEFAULT_BUCKET)
        for workers, bound in ((1, 1.05), (3, 1.1)):
            await harness.clear()
            downloads = await _downloads(harness, workers, run.sizes.rush)
            run.add(
                Measurement(
                    f"bytes out of Storage, {run.sizes.rush:,} uploads, workers: {workers}",
                    downloads / run.sizes.rush,
                    1.0,
                    "for each byte",
                    "each byte once",
                    Target("ratio", bound),
                )
            )


async def _downloads(harness: Harness, workers: int, uploads: int) -> int:
    """Return how often workers downloaded an object until all uploads have their rows."""
    async with Relay(harness.stack).serve() as relay, AsyncExitStack() as context:
        for _ in range(workers):
            await context.enter_async_context(ready_worker(relay.stack, harness.folder))
        relay.reset()
        await harness.recordings(
            f"{workers}-workers", [ghostly_recording(SECONDS, workers)], uploads
        )
        while await harness.database.fetchval(ROWS) < uploads:
            await asyncio.sleep(LOOK_EVERY)
        return relay.requests["download"]
