"""The memory and the processor time of a process and all below it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

LOOK_EVERY = 0.05  # seconds
MEGABYTE = 1e6


class Peak:
    """The most memory seen so far."""

    def __init__(self, pid: int) -> None:
        """Bind to a process."""
        self._pid = pid
        self.megabytes = 0.0

    def look(self) -> float:
        """Look once more, and return what there is now."""
        now = megabytes(self._pid)
        self.megabytes = max(self.megabytes, now)
        return now


@asynccontextmanager
async def watched(pid: int) -> AsyncIterator[Peak]:
    """Look at a process and all below it again and again until the block ends."""
    peak = Peak(pid)

    async def watch() -> None:
        while True:
            peak.look()
            await asyncio.sleep(LOOK_EVERY)

    watching = asyncio.create_task(watch())
    try:
        yield peak
    finally:
        watching.cancel()
        peak.look()


def megabytes(pid: int) -> float:
    """Memory in MB, what is shared counted once (Pss of proc(5))."""
    return sum(map(_proportional, _family(pid))) / MEGABYTE


def processor_seconds(pid: int) -> float:
    """Seconds of processor time so far, of those still running."""
    seconds = 0.0
    for process in _family(pid):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds += times.user + times.system
    return seconds


def _family(pid: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _proportional(process: psutil.Process) -> int:
    """Bytes of one process; none once it has ended."""
    with suppress(OSError):
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
        for line in text.splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
