"""Workers as processes under a service manager that starts them again, however they end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from worker.local.stack import StackInfo
from worker.settings import settings_names

RESTART_AFTER = 0.3  # seconds, as RestartSec
STOP_WITHIN = 40.0  # seconds; more than SHUTDOWN_TIMEOUT_SECONDS
SELDOM_LINES = frozenset({"supabase_unavailable", "realtime_lost", "lease_lost", "claiming_paused"})
ORPHANS_WITHIN = 5.0  # seconds in which the children of a killed worker have to end
LAST_WORDS = 40  # lines that are kept to be shown


@dataclass(eq=False)
class Member:
    """One place in the fleet: the process that fills it now, and what it said."""

    number: int
    process: asyncio.subprocess.Process | None = None
    said: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)  # lines that are not events
    notable: list[str] = field(default_factory=list)
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)
    killed: bool = False
    done_at: list[float] = field(default_factory=list)  # when it finished sessions, since 1970

    def living(self) -> psutil.Process:
        assert self.process is not None
        return psutil.Process(self.process.pid)

    def kill(self) -> list[psutil.Process]:
        """Send SIGKILL to the worker alone, and return the children it leaves."""
        self.killed = True
        assert self.process is not None
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            children = self.living().children(recursive=True)
            self.process.kill()
            return children
        return []

    async def until(self, event: str, *, after: int = 0, seconds: float = 60.0) -> None:
        """Wait until the event was said more than `after` times."""
        async with asyncio.timeout(seconds), self.heard:
            await self.heard.wait_for(lambda: self.said[event] > after)

    async def hear(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        try:
            event = json.loads(text)["event"]
        except (ValueError, KeyError, TypeError):
            # What a killed worker's helpers say of its end means nothing.
            if not self.killed:
                self.unexpected.append(text)
            return
        if event == "session_done":
            self.done_at.append(time.time())
        if event in SELDOM_LINES or "exception" in text:
            self.notable = [*self.notable[-LAST_WORDS:], text]
        async with self.heard:
            self.said[event] += 1
            self.heard.notify_all()


class Fleet:
    """All workers of a scenario."""

    def __init__(self, stack: StackInfo, folder: Path, settings: Mapping[str, str]) -> None:
        """`stack` as the workers see it; `settings` are environment variables."""
        inherited = {k: v for k, v in os.environ.items() if k not in settings_names()}
        self._environment = {
            **inherited,
            "SUPABASE_URL": stack.url,
            "SUPABASE_SECRET_KEY": stack.secret_key,
            "LOG_FORMAT": "json",
            "HTTP_PORT": "0",  # several beside each other
            "LOG_LEVEL": "DEBUG",
            "BUCKET_SWEEP_SECONDS": "0",  # the scenario decides what becomes a session
            **settings,
        }
        self._folder = folder
        self.members: list[Member] = []
        self.exits: list[str] = []  # ends that nobody asked for

    @asynccontextmanager
    async def run(self, workers: int) -> AsyncIterator[Fleet]:
        """Keep so many workers running until the block ends; then stop them as systemd would."""
        self.members = [Member(number) for number in range(workers)]
        keepers = [asyncio.create_task(self._keep(member)) for member in self.members]
        try:
            yield self
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    def said(self, event: str) -> int:
        """How often all workers together said it."""
        return sum(member.said[event] for member in self.members)

    def unexpected(self) -> list[str]:
        """Lines on stderr that are not events."""
        return [line for member in self.members for line in member.unexpected]

    async def _keep(self, member: Member) -> None:
        while True:
            member.killed = False
            # A fast end of the test run leaves no worker behind.
            command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "worker", "run"]
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=self._folder,
                env=self._environment,
                stderr=asyncio.subprocess.PIPE,
                limit=1 << 20,
            )
            member.process = process
            assert process.stderr is not None
            pump = asyncio.create_task(_listen(member, process.stderr))
            try:
                await process.wait()
            except asyncio.CancelledError:
                await self._stop(process)
                await pump
                raise
            # A killed worker's children hold its stderr open for as long as they live.
            await asyncio.wait({pump}, timeout=ORPHANS_WITHIN)
            if not pump.done():
                self.exits.append("children outlived their worker")
                pump.cancel()
            if not member.killed:
                last = member.unexpected[-LAST_WORDS:] + member.notable[-5:]
                self.exits.append(f"worker ended with {process.returncode}: " + "\n".join(last))
            await asyncio.sleep(RESTART_AFTER)

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                code = await process.wait()
        except TimeoutError:
            self.exits.append("worker did not stop")
            process.kill()
        else:
            if code:
                self.exits.append(f"worker stopped with {code}")


async def _listen(member: Member, stderr: asyncio.StreamReader) -> None:
    """Read the pipe all the time: a worker blocks on a full one."""
    async for line in stderr:
        await member.hear(line)
