"""Realtime's delivery of an upload's bell, one download, one insert. Nothing is queued.

    python -m benchmarks.bare_intake [rows]

With `rows` it claims the session, too, and completes it; nothing is read.

It says `ready` once the database feed runs. A bell does not say of which upload it is, so each
path is told on the input, before the upload.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from urllib.parse import quote

import httpx

from benchmarks.bare_listener import TECHNICAL, inserts
from benchmarks.floor import claim_arguments, own_client


async def take_in(http: httpx.AsyncClient, path: str) -> str:
    """Stream and hash an object, and insert its session: what cannot be avoided."""
    digest, size = hashlib.sha256(), 0
    async with http.stream("GET", f"/storage/v1/object/c3d-files/{quote(path)}") as response:
        async for chunk in response.raise_for_status().aiter_raw():
            digest.update(chunk)
            size += len(chunk)
    session = {
        "file_path": path,
        "file_hash": digest.hexdigest(),
        "file_size_bytes": size,
        "original_filename": path.rpartition("/")[2],
    }
    answer = await http.post(
        "/rest/v1/therapy_sessions", json=session, headers={"Prefer": "return=minimal"}
    )
    answer.raise_for_status()
    return digest.hexdigest()


async def write_row(http: httpx.AsyncClient, content_hash: str) -> None:
    """Claim the only session that waits, and complete it."""
    arguments = claim_arguments(1)
    claimed = await http.post("/rest/v1/rpc/claim_sessions", json=arguments)
    completion = {
        "session": claimed.raise_for_status().json()[0]["id"],
        "claim": arguments["claim"],
        "technical": TECHNICAL,
        "content_hash": content_hash,
    }
    answer = await http.post("/rest/v1/rpc/complete_session", json=completion)
    answer.raise_for_status()


async def main(*, rows: bool) -> None:
    """Listen until ended."""
    bells = await inserts("worker_bells")
    async with own_client() as http:
        while line := await asyncio.to_thread(sys.stdin.readline):
            await bells.get()
            content_hash = await take_in(http, line.strip())
            if rows:
                await write_row(http, content_hash)


if __name__ == "__main__":
    asyncio.run(main(rows=sys.argv[1:] == ["rows"]))
