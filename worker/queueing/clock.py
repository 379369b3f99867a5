"""The clock of the queues, and waiting by it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from worker.observing.watchdog import FEED_SECONDS, Watchdog


def now() -> float:
    """Return seconds of a clock that nobody sets and that counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def wait_for(event: asyncio.Event, *, seconds: float, watchdog: Watchdog) -> None:
    """Wait for the event, `seconds` at most, and feed the watchdog meanwhile."""
    until = now() + seconds
    happened = False  # where two wait, the other one may clear the event first
    while not happened and (left := until - now()) > 0:
        watchdog.feed()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(left, FEED_SECONDS)):
                happened = await event.wait()
    watchdog.feed()
