"""With the service key a private channel is joined, and hears what the project publishes."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from realtime import AsyncRealtimeClient, RealtimePostgresChangesListenEvent
from realtime.types import RealtimeChannelBroadcastConfig

from tests.integration.harness import Harness

pytestmark = pytest.mark.contract  # holds on any Supabase

JOINED_SECONDS = 30.0  # of a project that slept
BELLS, BELL_SECONDS = 5, 4.0  # a cold feed loses the first ones
RING = "insert into public.worker_bells (kind) values ('probe') returning id"


async def test_a_private_channel_hears_a_bell(harness: Harness) -> None:
    heard: asyncio.Queue[int] = asyncio.Queue()
    ready = asyncio.Event()

    def hear(payload: Any) -> None:
        heard.put_nowait(payload["data"]["record"]["id"])

    url = f"{harness.stack.url}/realtime/v1"
    client = AsyncRealtimeClient(url, harness.stack.secret_key, auto_reconnect=False)
    broadcast: RealtimeChannelBroadcastConfig = {"ack": False, "self": True}
    channel = client.channel(
        f"contract-{uuid4()}",
        {"config": {"broadcast": broadcast, "presence": None, "private": True}},
    )
    inserted = RealtimePostgresChangesListenEvent.Insert
    channel.on_postgres_changes(inserted, hear, table="worker_bells", schema="public")
    channel.on_system(lambda _: ready.set())
    try:
        async with asyncio.timeout(JOINED_SECONDS):
            await channel.subscribe()
            await ready.wait()
        assert await first_heard(harness, heard)
    finally:
        await client.close()


async def first_heard(harness: Harness, heard: asyncio.Queue[int]) -> bool:
    """Insert bells until one of them is heard; others may insert theirs."""
    for _ in range(BELLS):
        wanted = await harness.database.fetchval(RING)
        try:
            async with asyncio.timeout(BELL_SECONDS):
                while await heard.get() != wanted:
                    pass
        except TimeoutError:
            continue
        return True
    return False
