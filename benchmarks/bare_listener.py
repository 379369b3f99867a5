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

from benchmarks.floor import claim_arguments, client

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


async def main() -> None:
    """Listen until ended."""
    url, key = os.environ["SUPABASE_URL"], os.environ["SUPABASE_SECRET_KEY"]
    inserts: asyncio.Queue[object] = asyncio.Queue()

    def system(payload: Any) -> None:
        if payload.extension == "postgres_changes" and payload.status == "ok":
            print("ready", flush=True)

    realtime = AsyncRealtimeClient(f"{url}/realtime/v1", key, auto_reconnect=False)
    await realtime.connect()
    channel = realtime.channel("bare-listener")
    channel.on_system(system)
    insert = RealtimePostgresChangesListenEvent.Insert
    channel.on_postgres_changes(
        insert, inserts.put_nowait, table="therapy_sessions", schema="public"
    )
    await channel.subscribe()
    async with client() as http:
        while True:
            await inserts.get()
            await serve(http)


if __name__ == "__main__":
    asyncio.run(main())
