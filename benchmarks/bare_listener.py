"""Realtime's delivery and three bare requests: claim, download, complete. Nothing is read.

    python -m benchmarks.bare_listener

It says `ready` once the database feed runs, and then serves every insert until it is ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import Any
from urllib.parse import quote

import httpx
from realtime import AsyncRealtimeClient, RealtimePostgresChangesListenEvent

from benchmarks.floor import claim_arguments, own_client

TECHNICAL = {"channel_count": 0, "channel_names": []}


async def serve(http: httpx.AsyncClient) -> None:
    """Make the three requests for one session."""
    arguments = claim_arguments(1)
    sessions = (await http.post("/rest/v1/rpc/claim_sessions", json=arguments)).json()
    for session in sessions:
        path = quote(session["file_path"])
        content = (await http.get(f"/storage/v1/object/c3d-files/{path}")).content
        completion = {
            "session": session["id"],
            "claim": arguments["claim"],
            "technical": TECHNICAL,
            "content_hash": hashlib.sha256(content).hexdigest(),
        }
        await http.post("/rest/v1/rpc/complete_session", json=completion)


async def inserts(table: str) -> asyncio.Queue[object]:
    """Return what Realtime tells of inserts into a table; it says `ready` once the feed runs."""
    url, key = os.environ["SUPABASE_URL"], os.environ["SUPABASE_SECRET_KEY"]
    heard: asyncio.Queue[object] = asyncio.Queue()

    def system(payload: Any) -> None:
        if payload.extension == "postgres_changes" and payload.status == "ok":
            print("ready", flush=True)

    realtime = AsyncRealtimeClient(f"{url}/realtime/v1", key, auto_reconnect=False)
    await realtime.connect()
    channel = realtime.channel("bare-listener")
    channel.on_system(system)
    insert = RealtimePostgresChangesListenEvent.Insert
    channel.on_postgres_changes(insert, heard.put_nowait, table=table, schema="public")
    await channel.subscribe()
    return heard


async def main() -> None:
    """Listen until ended."""
    heard = await inserts("therapy_sessions")
    async with own_client() as http:
        while True:
            await heard.get()
            await serve(http)


if __name__ == "__main__":
    asyncio.run(main())
