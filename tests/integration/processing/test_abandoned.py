"""What a killed worker leaves behind is taken over, and nobody waits for it."""

from __future__ import annotations

from pathlib import Path

from tests.faults.proxy import OBJECTS, Proxy
from tests.faults.rules import delay
from tests.integration.harness import Harness
from tests.integration.uploads import numbered
from worker.local.worker_process import worker_process

SLOW, QUICK = 4, 12  # sessions; a worker has as many slots as there are slow ones
SECONDS = 6.0  # that the download of a slow one takes
LEASES_END = "update public.therapy_sessions set processing_due_at = now() - interval '1 second'"


async def test_small_sessions_do_not_wait_for_slow_ones_that_a_killed_worker_left(
    harness: Harness, tmp_path: Path
) -> None:
    slow = [await harness.session(numbered(n), path=f"P005/slow-{n}.c3d") for n in range(SLOW)]
    async with Proxy(harness.stack).serve() as proxy:
        with proxy.trouble(f"{OBJECTS}P005/slow", delay(SECONDS)):
            async with worker_process(proxy.stack, tmp_path) as killed:
                for session in slow:
                    await harness.until(session, "processing")
                killed.process.kill()
                await killed.process.wait()
            await harness.database.execute(LEASES_END)
            quick = [await harness.session(numbered(SLOW + n)) for n in range(QUICK)]
            async with worker_process(proxy.stack, tmp_path):
                await harness.until_done(quick, seconds=SLOW * SECONDS / 2)
                left = await harness.counts()
                assert SLOW - 2 <= left["processing"] <= SLOW
                await harness.until_done(slow, seconds=2 * SLOW * SECONDS)
    assert await harness.counts() == {"completed": SLOW + QUICK}
    attempts = [(await harness.row(session))["processing_attempts"] for session in slow]
    assert attempts == [2] * SLOW
