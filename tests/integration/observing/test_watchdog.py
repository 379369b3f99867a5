"""What systemd hears of the worker, and when it hears nothing more."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.harness import Harness
from tests.integration.interrupter import Interrupter
from tests.integration.uploads import NEVER, RECORDING
from worker.backend.metadata_service import MetadataService
from worker.backend.sessions import ClaimedSession
from worker.local.stack import StackInfo
from worker.local.worker_process import worker_process
from worker.observing.sd_notify import WORKING
from worker.observing.watchdog import FEED_SECONDS, Watchdog
from worker.processing.session_queue import SessionQueue
from worker.queueing.claim_loop import ClaimLoop

STATUS = "STATUS="
GAP = 3 * FEED_SECONDS  # seconds; what is silent for longer does not feed


class Manager:
    """What a service manager hears, on the socket that NOTIFY_SOCKET names."""

    def __init__(self, address: str) -> None:
        """Listen on a path, or on an abstract name that begins with @."""
        self.address = address
        self.told: list[str] = []  # for `systemctl status`
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._socket.settimeout(0)

    async def hear(self, seconds: float = GAP) -> str:
        """Wait for the next state but a status; TimeoutError: there is none in time."""
        async with asyncio.timeout(seconds):
            while True:
                heard = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
                state, status, told = heard.decode().rpartition(STATUS)
                if not status:
                    return told
                self.told.append(told)
                if state:
                    return state.strip()

    async def silent(self, seconds: float = GAP) -> bool:
        """Forget what was said, and say whether nothing more comes."""
        try:
            while True:
                await self.hear(0.1)
        except TimeoutError:
            pass
        try:
            await self.hear(seconds)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    path = str(tmp_path / "notify")
    listening = Manager(path if request.param == "path" else f"@c3d-{uuid4()}")
    yield listening
    listening.close()


@asynccontextmanager
async def _worker(
    stack: StackInfo, folder: Path, manager: Manager, **settings: str
) -> AsyncIterator[int]:
    """An idle worker that has said it is ready; its process id."""
    settings = {"POLL_SECONDS": NEVER, "NOTIFY_SOCKET": manager.address, **settings}
    async with worker_process(stack, folder, **settings) as worker:
        assert await manager.hear(20.0) == "READY=1"
        yield worker.process.pid


async def test_an_idle_worker_feeds_the_watchdog_and_says_when_it_stops(
    harness: Harness, manager: Manager, tmp_path: Path
) -> None:
    async with _worker(harness.stack, tmp_path, manager):
        for _ in range(2):
            assert await manager.hear() == "WATCHDOG=1"
    heard = await manager.hear()
    while heard == "WATCHDOG=1":
        heard = await manager.hear()
    assert heard == "STOPPING=1"


@pytest.mark.parametrize("manager", ["path"], indirect=True)
async def test_a_worker_that_stands_still_falls_silent(
    harness: Harness, manager: Manager, tmp_path: Path
) -> None:
    async with _worker(harness.stack, tmp_path, manager) as pid:
        assert not await manager.silent()
        os.kill(pid, signal.SIGSTOP)
        try:
            assert await manager.silent()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await manager.hear() == "WATCHDOG=1"


@pytest.mark.parametrize("manager", ["path"], indirect=True)
async def test_a_supabase_that_hangs_is_no_reason_to_kill_the_worker(
    harness: Harness, manager: Manager, tmp_path: Path
) -> None:
    async with (
        Interrupter(harness.stack).serve() as line,
        _worker(line.stack, tmp_path, manager, LEASE_SECONDS="5", POLL_SECONDS="1"),
    ):
        line.freeze()
        until = time.monotonic() + 12.0
        while time.monotonic() < until:
            assert await manager.hear() == "WATCHDOG=1"
        assert manager.told[-1].startswith("Waits, and tries again: supabase_unavailable: ")
        line.mend()
        session = await harness.session(RECORDING)
        await harness.until(session, "completed", seconds=60.0)
        while manager.told[-1] != WORKING:
            await manager.hear()


@pytest.mark.parametrize("manager", ["path"], indirect=True)
async def test_a_turn_that_never_ends_falls_silent(
    harness: Harness, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    stuck, hanging, freed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Stuck(SessionQueue):
        """Its call outlives its own time limit."""

        async def claim(self, *arguments: Any, **named: Any) -> list[ClaimedSession]:
            if stuck.is_set():
                hanging.set()
                with suppress(asyncio.CancelledError):
                    await freed.wait()
                await freed.wait()
            return await super().claim(*arguments, **named)

    async def process(_: ClaimedSession) -> None:
        raise AssertionError

    watchdog = Watchdog(max_silence_seconds=GAP)
    loop = ClaimLoop(
        Stuck(MetadataService(harness.connection.supabase), 5, 5, harness.bucket),
        process,
        slots=4,
        lease_seconds=5,
        poll_seconds=1,
        shutdown_timeout_seconds=20,
        watchdog=watchdog,
    )
    running = asyncio.create_task(loop.run())
    assert await manager.hear() == "WATCHDOG=1"
    assert watchdog.alive
    stuck.set()
    await hanging.wait()
    assert await manager.silent(1.5 * GAP)
    assert not watchdog.alive
    freed.set()
    assert await manager.hear() == "WATCHDOG=1"
    assert watchdog.alive
    loop.stop()
    await running
