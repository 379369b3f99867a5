"""Realtime may say that all is well and deliver nothing: only a probe that is heard proves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest_asyncio
from pytest_mock import MockerFixture
from structlog.testing import capture_logs

from tests.faults.proxy import Proxy
from tests.faults.realtime_proxy import Mode
from tests.integration.checking import found_in
from tests.integration.harness import Harness
from tests.integration.uploads import NEVER, numbered
from worker.backend.metadata_service import MetadataService
from worker.backend.realtime_connection import WakeReason
from worker.backend.realtime_listener import RealtimeListener
from worker.check.findings import Check, Verdict
from worker.local.ports import choose

DEAF = "subscribed, but no probe is heard"


@pytest_asyncio.fixture
async def proxy(harness: Harness) -> AsyncIterator[Proxy]:
    """A proxy to the local stack whose Realtime is deaf."""
    async with Proxy(harness.stack).serve() as serving:
        serving.realtime.treat(Mode.DEAF)
        yield serving


async def test_a_deaf_worker_says_so_and_recovers(
    harness: Harness, proxy: Proxy, tmp_path: Path
) -> None:
    port = choose(0, "the test")
    through = replace(harness, stack=proxy.stack)
    async with (
        through.worker(tmp_path, POLL_SECONDS=NEVER, HTTP_PORT=str(port)) as worker,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        event = await worker.until("realtime_deaf")
        assert event["reason"] == DEAF
        assert 0.25 <= event["retry_in"] <= 0.5
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["realtime"]) == (200, "deaf")
        metrics = (await http.get("/metrics")).text
        assert "\nc3d_worker_realtime_deaf 1.0\n" in metrics
        assert "\nc3d_worker_realtime_ready 0.0\n" in metrics
        assert b"realtime_ready" not in b"".join(worker.said)

        proxy.realtime.treat(Mode.OPEN)
        await worker.until("realtime_ready")
        assert (await http.get("/readyz")).json()["realtime"] == "ready"
        metrics = (await http.get("/metrics")).text
        assert "\nc3d_worker_realtime_deaf 0.0\n" in metrics
        session = await harness.session(numbered(0))
        assert (await harness.until(session, "completed"))["processing_attempts"] == 1


async def test_a_deaf_connection_is_made_anew_ever_more_seldom(
    harness: Harness, proxy: Proxy, mocker: MockerFixture
) -> None:
    mocker.patch("worker.backend.realtime_connection.PROBE_SECONDS", 0.2)
    woken: asyncio.Queue[WakeReason] = asyncio.Queue()
    ring_probe = MetadataService(harness.connection.supabase).ring_probe
    listener = RealtimeListener(
        proxy.stack.url, harness.stack.secret_key, ring_probe, woken.put_nowait
    )
    with capture_logs() as logged:
        running = asyncio.create_task(listener.run())
        async with asyncio.timeout(20):
            for _ in range(3):
                while await woken.get() is not WakeReason.DEAF:
                    pass
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    told = [each for each in logged if each["event"] in {"realtime_deaf", "realtime_retried"}]
    assert [each["event"] for each in told].count("realtime_deaf") == 1
    pauses = [each["retry_in"] for each in told]
    assert len(pauses) == 3
    for longest, pause in zip((0.5, 1.0, 2.0), pauses, strict=True):
        assert longest / 2 <= pause <= longest


async def test_a_connection_that_goes_deaf_is_found_by_its_next_proof(
    harness: Harness, proxy: Proxy, mocker: MockerFixture
) -> None:
    mocker.patch("worker.backend.realtime_connection.PROOF_SECONDS", 0.1)
    mocker.patch("worker.backend.realtime_connection.PING_SECONDS", 0.5)
    mocker.patch("worker.backend.realtime_connection.PROBE_SECONDS", 1.0)
    metadata = MetadataService(harness.connection.supabase)
    proxy.realtime.treat(Mode.OPEN)
    woken: asyncio.Queue[WakeReason] = asyncio.Queue()
    listener = RealtimeListener(
        proxy.stack.url, harness.stack.secret_key, metadata.ring_probe, woken.put_nowait
    )

    async def until(reason: WakeReason) -> None:
        async with asyncio.timeout(20):
            while await woken.get() is not reason:
                pass

    running = asyncio.create_task(listener.run())
    await until(WakeReason.READY)
    assert listener.state.word == "ready"
    proxy.realtime.treat(Mode.DEAF)
    await until(WakeReason.DEAF)
    assert listener.state.word == "deaf"
    proxy.realtime.treat(Mode.OPEN)
    await until(WakeReason.READY)
    assert listener.state.word == "ready"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_worker_that_can_insert_no_probe_does_not_take_itself_for_deaf(
    harness: Harness, proxy: Proxy, mocker: MockerFixture
) -> None:
    """Nothing is known of Realtime then; the poll goes on, and the next proof is a ping away."""
    mocker.patch("worker.backend.realtime_connection.PING_SECONDS", 0.5)
    proxy.realtime.treat(Mode.OPEN)
    metadata = MetadataService(harness.connection.supabase)
    woken: list[WakeReason] = []
    listener = RealtimeListener(
        proxy.stack.url, harness.stack.secret_key, metadata.ring_probe, woken.append
    )
    await harness.database.execute("alter table public.worker_bells rename to elsewhere")
    running = asyncio.create_task(listener.run())
    try:
        await asyncio.sleep(3.0)
    finally:
        await harness.database.execute("alter table public.elsewhere rename to worker_bells")
    assert not {WakeReason.READY, WakeReason.DEAF} & {*woken}
    async with asyncio.timeout(20):
        while WakeReason.READY not in woken:
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_check_finds_a_deaf_realtime(proxy: Proxy, mocker: MockerFixture) -> None:
    mocker.patch("worker.backend.realtime_connection.PROBE_SECONDS", 1.0)
    (finding,) = (await found_in(proxy.stack))[Check.REALTIME]
    assert finding.verdict is Verdict.BAD
    assert DEAF in finding.said
    proxy.realtime.treat(Mode.OPEN)
    (finding,) = (await found_in(proxy.stack))[Check.REALTIME]
    assert finding.verdict is Verdict.GOOD


async def test_probes_leave_nothing_behind_for_long(harness: Harness) -> None:
    metadata = MetadataService(harness.connection.supabase)
    await harness.database.execute("truncate public.worker_bells")
    rung = [await metadata.ring_probe() for _ in range(3)]
    assert rung == sorted(set(rung))
    await harness.database.execute(
        "update public.worker_bells set rung_at = now() - interval '2 hours'"
    )
    last = await metadata.ring_probe()
    left = await harness.database.fetch("select id, kind from public.worker_bells")
    assert [tuple(row) for row in left] == [(last, "probe")]
