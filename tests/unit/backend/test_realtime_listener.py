"""A Realtime that cannot be reached is asked ever more seldom, and told of once."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import pytest
from pytest_mock import MockerFixture
from structlog.testing import capture_logs

from worker.backend.realtime_connection import WakeReason
from worker.backend.realtime_listener import RealtimeListener
from worker.backoff import backoff

NOWHERE = "http://127.0.0.1:1"
ATTEMPTS = 9
LONGEST = 30.0  # seconds; the poll looks as often


async def _no_probe() -> NoReturn:
    raise AssertionError


@pytest.fixture
def pauses(mocker: MockerFixture) -> list[float]:
    """What the listener would have waited, while it waits no longer than it has to."""
    waited: list[float] = []

    def at_once(failures: int, *, initial: float, maximum: float) -> float:
        waited.append(backoff(failures, initial=initial, maximum=maximum))
        return 0.0

    mocker.patch("worker.backend.realtime_listener.backoff", at_once)
    return waited


async def test_an_outage_is_one_line_and_its_pauses_grow(pauses: list[float]) -> None:
    woken: asyncio.Queue[WakeReason] = asyncio.Queue()
    listener = RealtimeListener(NOWHERE, "sb_secret_x", _no_probe, woken.put_nowait)
    with capture_logs() as said:
        running = asyncio.create_task(listener.run())
        async with asyncio.timeout(20):
            reasons = [await woken.get() for _ in range(ATTEMPTS)]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert reasons == [WakeReason.GAP] * ATTEMPTS
    assert pauses[0] <= 0.5
    assert LONGEST / 2 <= pauses[-1] <= LONGEST
    assert [line["event"] for line in said if line["log_level"] != "debug"] == ["realtime_lost"]
