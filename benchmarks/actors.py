"""The processes that are measured: our worker as people run it, and its rivals."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

from benchmarks.harness import PROJECT
from worker.extraction import isolation
from worker.local.stack import StackInfo
from worker.local.worker_process import WorkerProcess, worker_process
from worker.settings import Settings

READY_SECONDS = 60.0
END_SECONDS = 2.0
CONCURRENCY = int(Settings.model_fields["concurrency"].default)
READERS = int(getattr(isolation, "CHILDREN", 2))


class Rival:
    """A program that works when told to."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Bind to a process whose stdin and stdout are pipes."""
        self.process = process

    async def work(self) -> None:
        """Have it work until nothing is left."""
        await self.tell("go")
        await self.said(b"done")

    async def tell(self, line: str) -> None:
        """Write a line to its input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    async def said(self, word: bytes) -> None:
        """Wait for its word."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if line.strip() != word:
            raise RuntimeError(f"A rival said {line!r} instead of {word!r}.")

    async def end(self) -> None:
        """Let it end: its children, too, go when its input ends. A watcher knows no end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self.process.wait()
                return
        self.process.terminate()
        await self.process.wait()


@asynccontextmanager
async def rival(stack: StackInfo, program: str, *arguments: str) -> AsyncIterator[Rival]:
    """Run one of the programs beside this one, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "KILL"),
        *(sys.executable, "-m", f"benchmarks.{program}", *arguments),
        cwd=PROJECT,
        env={**os.environ, "SUPABASE_URL": stack.url, "SUPABASE_SECRET_KEY": stack.secret_key},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    started = Rival(process)
    try:
        async with asyncio.timeout(READY_SECONDS):
            await started.said(b"ready")
        yield started
    finally:
        await started.end()


def floor(stack: StackInfo) -> AbstractAsyncContextManager[Rival]:
    """Run the floor with the worker's concurrency and as many reading processes."""
    return rival(stack, "floor", str(CONCURRENCY), str(READERS))


@asynccontextmanager
async def ready_worker(
    stack: StackInfo, folder: Path, **settings: str
) -> AsyncIterator[WorkerProcess]:
    """Run our worker, beside others on this machine, until the block ends; it listens already.

    It draws no pictures unless it is told to: no rival does.
    """
    settings = {"LOG_LEVEL": "INFO", "PREVIEWS": "off", **settings}
    async with worker_process(stack, folder, **settings) as worker:
        await worker.until("realtime_ready")
        yield worker
