"""Runs `c3d-worker run` as a separate process, and follows its JSON log lines."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from worker.errors import StackError
from worker.local.stack import StackInfo
from worker.settings import settings_names

MAX_SECONDS = 60.0  # between two events that a caller waits for
FAILED = "worker_failed"  # the event of a worker that cannot start, or cannot go on


class WorkerProcess:
    """A running worker; its events are its log lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """`process` has a pipe as stderr, to which it writes JSON lines."""
        self.process = process
        self.said: list[bytes] = []  # every line, whether or not a caller waits for it
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._pump = asyncio.create_task(self._read())

    async def follow(self, *, until: str) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the worker's events up to and including the first one named `until`.

        Raises:
            StackError: before that the worker failed or ended, logged nothing for MAX_SECONDS,
                or wrote a line that is not JSON.
        """
        while True:
            event = await self._next(until)
            yield event
            if event["event"] == until:
                return

    async def until(self, name: str) -> Mapping[str, Any]:
        """Wait for the event named `name` and return it; raises as `follow`."""
        while True:
            event = await self._next(name)
            if event["event"] == name:
                return event

    async def stop(self) -> int:
        """Send SIGTERM unless the worker has ended, and return its exit code."""
        if self.process.returncode is None:
            self.process.terminate()
        code = await self.process.wait()
        await self._pump
        return code

    def peak_megabytes(self) -> float:
        """Return the peak memory of the process (VmHWM of proc(5)), in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        kibibytes = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(kibibytes.split()[1]) * 1024 / 1e6

    async def _read(self) -> None:
        """Read the pipe all the time: a worker blocks on a full one."""
        assert self.process.stderr is not None  # noqa: S101 - `worker_process` asks for a pipe
        async for line in self.process.stderr:
            self.said.append(line)
            self._lines.put_nowait(line)
        self._lines.put_nowait(b"")

    async def _next(self, awaited: str) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(MAX_SECONDS):
                line = await self._lines.get()
        except TimeoutError:
            raise StackError(f"The worker did not report {awaited!r} in time.") from None
        if not line:
            raise StackError(f"The worker ended before it reported {awaited!r}.")
        try:
            event: Mapping[str, Any] = json.loads(line)
        except ValueError:
            raise StackError(f"The worker said: {line.decode().strip()}") from None
        if event["event"] == FAILED != awaited:
            raise StackError(f"The worker said: {event['code']}: {event['reason']}")
        return event


@asynccontextmanager
async def worker_process(
    stack: StackInfo, folder: Path, **settings: str
) -> AsyncIterator[WorkerProcess]:
    """Run a worker on `stack` until the block ends.

    The worker does not read the bucket and serves no HTTP unless `settings` say so: the caller
    decides what becomes a session, and several workers can run at once.

    Args:
        stack: where the worker connects.
        folder: its working directory, which contains no `.env`.
        settings: further environment variables, such as CONCURRENCY="1".
    """
    inherited = {k: v for k, v in os.environ.items() if k not in settings_names()}
    environment = {
        **inherited,
        "SUPABASE_URL": stack.url,
        "SUPABASE_SECRET_KEY": stack.secret_key,
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "DEBUG",
        "HTTP_PORT": "0",
        "BUCKET_SWEEP_SECONDS": "0",
        **settings,
    }
    command = [sys.executable, "-m", "worker", "run"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environment, stderr=asyncio.subprocess.PIPE
    )
    worker = WorkerProcess(process)
    try:
        yield worker
    finally:
        await worker.stop()
