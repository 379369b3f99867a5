"""The worker hears whichever channels a project allows, and only what is meant for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
from pytest_mock import MockerFixture
from realtime import AsyncRealtimeChannel

from tests.integration.checking import found_in
from tests.integration.harness import Harness
from tests.integration.local import phoenix
from tests.integration.second_gateway import second_gateway
from tests.integration.uploads import NEVER, RECORDING
from worker.backend.metadata_service import MetadataService
from worker.backend.realtime_connection import WakeReason
from worker.backend.realtime_listener import RealtimeListener
from worker.check.findings import Check, Verdict
from worker.local.realtime.allowed import Allowed
from worker.local.realtime.channels import Socket
from worker.local.realtime.server import Realtime
from worker.local.stack import StackInfo

SECONDS = 20.0
SETTINGS = {"both": {}, "no public": {"public": False}, "no private": {"private": False}}
RING = "insert into public.worker_bells (kind) values ($1)"
KNOWN_KINDS = "check (kind in ('upload', 'missed', 'probe'))"

Until = Callable[[WakeReason], Awaitable[None]]


@pytest_asyncio.fixture
async def second(
    migrated_stack: StackInfo, tmp_path: Path
) -> AsyncIterator[tuple[StackInfo, Realtime]]:
    """Another way to the same stack, and the Realtime on it."""
    async with second_gateway(migrated_stack, tmp_path) as opened:
        yield opened


@asynccontextmanager
async def listening(harness: Harness, stack: StackInfo) -> AsyncIterator[Until]:
    """Run a listener; yield what waits until it wakes the worker for a reason."""
    woken: asyncio.Queue[WakeReason] = asyncio.Queue()
    metadata = MetadataService(harness.connection.supabase)
    listener = RealtimeListener(stack.url, stack.secret_key, metadata.ring_probe, woken.put_nowait)

    async def until(reason: WakeReason) -> None:
        async with asyncio.timeout(SECONDS):
            while await woken.get() is not reason:
                pass

    running = asyncio.create_task(listener.run())
    try:
        await until(WakeReason.READY)
        yield until
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
async def test_a_worker_hears_sessions_and_uploads(
    harness: Harness, second: tuple[StackInfo, Realtime], tmp_path: Path, setting: dict[str, bool]
) -> None:
    there, realtime = second
    realtime.allowed = replace(Allowed(), **setting)
    await harness.announces(harness.bucket)
    through = replace(harness, stack=there)
    async with through.worker(tmp_path, POLL_SECONDS=NEVER) as worker:
        await worker.until("realtime_ready")
        await harness.upload(RECORDING)
        await worker.until("upload_heard")
        await harness.session(b"no recording", uploaded=False)
        await worker.until("insert_heard")


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.usefixtures("harness")
async def test_a_check_passes(second: tuple[StackInfo, Realtime], setting: dict[str, bool]) -> None:
    there, realtime = second
    realtime.allowed = replace(Allowed(), **setting)
    (finding,) = (await found_in(there))[Check.REALTIME]
    assert finding.verdict is Verdict.GOOD, finding.said


async def test_a_listener_follows_a_setting_that_changes(
    harness: Harness, second: tuple[StackInfo, Realtime]
) -> None:
    there, realtime = second
    async with listening(harness, there) as until:
        for setting in [*SETTINGS.values()] * 2:
            # As the platform does it: whoever is connected has to join anew.
            realtime.allowed = replace(Allowed(), **setting)
            await realtime.close_sockets()
            await until(WakeReason.GAP)
            await until(WakeReason.READY)
            await harness.session(b"no recording", uploaded=False, file_hash=str(setting))
            await until(WakeReason.INSERT)
            await harness.clear()


async def test_workers_do_not_hear_each_others_pings(
    harness: Harness, second: tuple[StackInfo, Realtime], mocker: MockerFixture
) -> None:
    """Each that is received is paid for."""
    mocker.patch("worker.backend.realtime_connection.PING_SECONDS", 0.2)
    sent = mocker.spy(AsyncRealtimeChannel, "send_broadcast")
    received = mocker.spy(Socket, "send")
    there, _ = second
    async with listening(harness, there), listening(harness, there):
        await asyncio.sleep(2.0)
    echoes = [call.args for call in received.call_args_list if call.args[2] == "broadcast"]
    assert len(sent.call_args_list) > 8
    assert 0 <= len(sent.call_args_list) - len(echoes) <= 2  # on their way at the end
    heard = {(id(socket), topic, what["payload"]["from"]) for socket, topic, _, what in echoes}
    assert len(heard) == 2
    assert len({topic for _, topic, _ in heard}) == 2


async def test_an_echo_of_somebody_else_is_not_ones_own(
    harness: Harness, second: tuple[StackInfo, Realtime], mocker: MockerFixture
) -> None:
    mocker.patch("worker.backend.realtime_connection.PING_SECONDS", 0.2)
    mocker.patch("worker.backend.realtime_connection.ECHO_SECONDS", 1.0)
    mocker.patch("worker.backend.realtime_connection.uuid4", return_value=UUID(int=5))
    topic = f"realtime:c3d-worker-{UUID(int=5)}"
    there, _ = second

    async def ping(client: phoenix.Client, sender: str) -> None:
        while True:
            await client.say(
                "broadcast", topic, type="broadcast", event="ping", payload={"from": sender}
            )
            await asyncio.sleep(0.1)

    async with listening(harness, there) as until, phoenix.connected(there) as client:
        await client.say("phx_join", topic, config={"private": True})
        stranger = asyncio.create_task(ping(client, "somebody else"))
        mocker.patch.object(AsyncRealtimeChannel, "send_broadcast")  # its own get lost
        await until(WakeReason.GAP)
        stranger.cancel()


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("upload", WakeReason.UPLOAD),
        ("missed", WakeReason.MISSED),
        ("of a later version", WakeReason.UPLOAD),
        ("x" * 1_200_000, WakeReason.UPLOAD),  # too large: Realtime leaves the value out
    ],
    ids=["upload", "missed", "unknown", "absent"],
)
async def test_a_bell_wakes_whatever_it_says(
    harness: Harness, second: tuple[StackInfo, Realtime], kind: str, why: WakeReason
) -> None:
    there, _ = second
    await harness.database.execute("alter table public.worker_bells drop constraint kind_is_known")
    try:
        async with listening(harness, there) as until:
            await harness.database.execute(RING, kind)
            await until(why)
    finally:
        await harness.database.execute(
            "delete from public.worker_bells;"
            f"alter table public.worker_bells add constraint kind_is_known {KNOWN_KINDS}"
        )
