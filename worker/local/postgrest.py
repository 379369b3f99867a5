"""Runs the real PostgREST, configured as on the platform."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from worker.local import keys, ports
from worker.local.postgres import as_role
from worker.local.process import Program, running


@asynccontextmanager
async def postgrest(binary: Path, database_url: str, log: Path) -> AsyncIterator[str]:
    """Run PostgREST on a free port and yield its URL.

    Raises:
        StackError: PostgREST did not become ready.
    """
    port, admin_port = ports.choose(0, "PostgREST"), ports.choose(0, "PostgREST's health")
    settings = {
        "DB_URI": as_role(database_url, "authenticator"),
        "DB_SCHEMAS": "public",
        "DB_EXTRA_SEARCH_PATH": "public, extensions",
        "DB_ANON_ROLE": "anon",
        "DB_MAX_ROWS": "1000",
        "JWT_SECRET": keys.JWT_SECRET,
        "SERVER_HOST": ports.HOST,
        "SERVER_PORT": str(port),
        "ADMIN_SERVER_PORT": str(admin_port),
        "LOG_LEVEL": "warn",
    }
    async with aiohttp.ClientSession() as http:

        async def ready() -> bool:
            try:
                async with http.get(f"http://{ports.HOST}:{admin_port}/ready") as answer:
                    return answer.ok
            except aiohttp.ClientError:
                return False

        program = Program(
            name="PostgREST",
            command=[str(binary)],
            log=log,
            stop=signal.SIGTERM,
            ready=ready,
            environment={f"PGRST_{name}": value for name, value in settings.items()},
        )
        async with running(program):
            yield f"http://{ports.HOST}:{port}"
