"""The floor: only the requests that cannot be avoided, the bare reading, and nothing else.

    python -m benchmarks.floor CONCURRENCY CHILDREN

A claim and a completion for each batch, a download for each session, through the same functions
of the database; no leases kept, nothing repeated, nothing watched. It says `ready`, and after
each line on its input it works until a claim brings nothing and says `done`.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from worker.extraction.analytics import analytics
from worker.extraction.metadata import describe, open_stream
from worker.extraction.statistics import measure

BATCH = 8  # sessions a claim
LANES = 2  # batches under way, so that no download waits for a claim or a completion
CHUNK = 256 * 1024  # bytes
LEASE_SECONDS, ATTEMPTS = 3600, 5


def extract(path: str) -> dict[str, Any]:
    """Read what is written for the recording at `path`."""
    with Path(path).open("rb") as stream:
        metadata, layout = open_stream(stream)
        described = describe(metadata, layout)
        statistics = analytics(measure(stream, metadata, layout).statistics)
    return {"technical": described.row(), "game": described.game, "statistics": statistics}


class Floor:
    """The requests and the reading."""

    def __init__(self, http: httpx.AsyncClient, readers: ProcessPoolExecutor, at_once: int) -> None:
        """Bind; nothing is sent yet."""
        self._http = http
        self._readers = readers
        self._free = asyncio.Semaphore(at_once)

    async def empty(self) -> None:
        """Work until nothing is pending."""
        await asyncio.gather(*(self._lane() for _ in range(LANES)))

    async def _lane(self) -> None:
        while batch := await self._call("claim_sessions", claim := claim_arguments(BATCH)):
            found = await asyncio.gather(*map(self._read, batch))
            completions = [{**each, "claim": claim["claim"]} for each in found]
            await self._call("complete_sessions", {"completions": completions})

    async def _read(self, session: dict[str, Any]) -> dict[str, Any]:
        async with self._free:
            with tempfile.NamedTemporaryFile(buffering=0) as file:
                digest = hashlib.sha256()
                url = f"/storage/v1/object/c3d-files/{quote(session['file_path'])}"
                async with self._http.stream("GET", url) as response:
                    async for chunk in response.aiter_raw(CHUNK):
                        digest.update(chunk)
                        file.write(chunk)
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(self._readers, extract, file.name)
        return {"session": session["id"], "content_hash": digest.hexdigest(), **found}

    async def _call(self, function: str, arguments: dict[str, Any]) -> Any:
        response = await self._http.post(f"/rest/v1/rpc/{function}", json=arguments)
        return response.raise_for_status().json()


def claim_arguments(most: int) -> dict[str, Any]:
    """Arguments of a claim of up to so many sessions."""
    return {
        "claim": str(uuid4()),
        "batch_size": most,
        "lease_seconds": LEASE_SECONDS,
        "max_attempts": ATTEMPTS,
    }


def client(url: str, key: str) -> httpx.AsyncClient:
    """Return a client of a stack."""
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=600.0)


def own_client() -> httpx.AsyncClient:
    """Return a client of the stack that the environment names."""
    return client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_SECRET_KEY"])


async def main(at_once: int, children: int) -> None:
    """Work whenever told to."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(children, mp_context=context) as readers:
        await asyncio.gather(*(loop.run_in_executor(readers, os.getpid) for _ in range(children)))
        async with own_client() as http:
            floor = Floor(http, readers, at_once)
            print("ready", flush=True)
            while await asyncio.to_thread(sys.stdin.readline):
                await floor.empty()
                print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
