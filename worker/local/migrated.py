"""Migrates a local stack, and connects to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from worker.backend.connection import Connection, connect
from worker.backend.installation import Installation
from worker.errors import UnavailableError
from worker.local.packages import Packages
from worker.local.stack import StackInfo
from worker.local.supabase_cli import push
from worker.settings import DEFAULT_BUCKET, Settings

SETTLE_SECONDS = 10.0  # for PostgREST to read the new schema, which takes some tenths of a second


async def migrate(stack: StackInfo, project: Path, packages: Packages) -> None:
    """Apply the migrations with the real CLI, and wait until PostgREST serves the new schema.

    Args:
        stack: a running stack.
        project: the folder that contains `supabase/`.
        packages: the installed programs.

    Raises:
        StackError: a migration failed.
        UnavailableError: PostgREST did not read the new schema in time.
    """
    await push(stack.database_url, project, packages)
    async with connected(stack) as connection:
        installation = Installation(connection)
        loop = asyncio.get_running_loop()
        until = loop.time() + SETTLE_SECONDS
        while True:
            try:
                await installation.trial()  # of the youngest migration
            except UnavailableError:
                if loop.time() > until:
                    raise
                await asyncio.sleep(0.02)
            else:
                return


@asynccontextmanager
async def connected(stack: StackInfo) -> AsyncIterator[Connection]:
    """Open a connection to `stack`, independent of the environment and any `.env`."""
    settings = Settings(
        _env_file=None,
        supabase_url=stack.url,
        supabase_secret_key=SecretStr(stack.secret_key),
        c3d_bucket=DEFAULT_BUCKET,
    )
    async with connect(settings) as connection:
        yield connection
