"""What integration tests do from outside the worker: upload, run a worker, look, wait."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from worker.backend import rest
from worker.backend.connection import Connection
from worker.backend.metadata_service import TECHNICAL, MetadataService
from worker.backend.previews import PREVIEWS
from worker.backend.sessions import NewSession
from worker.local.migrated import connected
from worker.local.stack import StackInfo
from worker.local.worker_process import WorkerProcess, worker_process
from worker.settings import DEFAULT_BUCKET

UNFINISHED = """select count(*) from public.therapy_sessions
                where processing_status in ('pending', 'processing')"""


@dataclass(frozen=True, slots=True)
class Harness:
    """Uploads recordings and reads the tables, as the postgres role sees them."""

    stack: StackInfo
    connection: Connection
    database: asyncpg.Connection[asyncpg.Record]
    bucket: str = DEFAULT_BUCKET
    prefix: str = ""  # of every path; what starts otherwise is not this harness's

    @asynccontextmanager
    async def apart(self) -> AsyncIterator[Harness]:
        """Yield a harness that leaves this project as it is: its own bucket, its own rows."""
        if waiting := await self.database.fetchval(UNFINISHED):
            pytest.fail(f"{waiting} sessions wait in this project: a test's worker would take them")
        name = f"contract-{uuid4()}"
        storage = self.connection.supabase.storage
        await storage.create_bucket(name)
        try:
            yield replace(self, bucket=name, prefix=f"{name}/")
        finally:
            await self.database.execute(
                "delete from public.therapy_sessions where starts_with(file_path, $1)", name
            )
            await storage.empty_bucket(name)
            await storage.delete_bucket(name)

    @asynccontextmanager
    async def worker(self, folder: Path, **settings: str) -> AsyncIterator[WorkerProcess]:
        """Run a worker on this harness's bucket, see `worker_process`; it must be discreet."""
        settings = {"C3D_BUCKET": self.bucket, "PREVIEWS": "off", **settings}
        async with worker_process(self.stack, folder, **settings) as worker:
            yield worker
        said = b"".join(worker.said).decode()
        secrets = [self.stack.secret_key, settings.get("WEBHOOK_SECRET", self.stack.secret_key)]
        assert not [each for each in (*secrets, ".c3d") if each in said]  # names can name patients

    async def upload(self, content: bytes, path: str | None = None) -> str:
        """Put an object into the bucket and return its path."""
        path = self.prefix + (path or f"P005/{uuid4()}.c3d")
        await self.connection.supabase.storage.from_(self.bucket).upload(path, content)
        return path

    async def session(
        self,
        content: bytes,
        *,
        uploaded: bool = True,
        path: str | None = None,
        file_hash: str | None = None,
        size: int | None = None,
        measured: bool = True,
    ) -> UUID:
        """Create a session, of an uploaded object unless told otherwise."""
        path = path or f"P005/{uuid4()}.c3d"
        if uploaded:
            await self.upload(content, path)
        new = NewSession(
            file_path=self.prefix + path,
            file_hash=file_hash or hashlib.sha256(content).hexdigest(),
            file_size_bytes=len(content) if size is None else size,
            original_filename=path.rsplit("/", 1)[-1],
            measured=measured,
        )
        session, created = await MetadataService(self.connection.supabase).create_session(new)
        assert created
        return session

    @asynccontextmanager
    async def locking(self, *sessions: UUID) -> AsyncIterator[None]:
        """Have a second connection change the sessions, and not commit until the block ends."""
        async with _database(self.stack) as second, second.transaction():
            await second.execute(
                "update public.therapy_sessions set patient_id = patient_id where id = any ($1)",
                sessions,
            )
            yield

    async def clear(self) -> None:
        """Remove every session and object, and have uploads announce themselves to nobody.

        Most tests make their sessions themselves.
        """
        await self.database.execute("truncate public.therapy_sessions cascade")
        for bucket in (self.bucket, PREVIEWS):
            await self.connection.supabase.storage.empty_bucket(bucket)
        await self.database.execute("delete from vault.secrets")
        await self.database.execute("delete from public.worker_bells")
        await self.announces(None)

    async def announces(self, bucket: str | None) -> None:
        """Have uploads to a bucket announce themselves to the workers; None: to no bucket."""
        await self.database.execute("update public.worker_settings set bucket = $1", bucket)

    async def row(self, session: UUID) -> dict[str, Any]:
        """The session's row."""
        query = "select * from public.therapy_sessions where id = $1"
        return dict(await self.database.fetchrow(query, session) or {})

    async def technical(self, session: UUID) -> dict[str, Any] | None:
        """The session's eight technical values as PostgREST gives them, or None."""
        query = self.connection.supabase.table(TECHNICAL).select("*")
        found = await rest.rows(query.eq("session_id", str(session)))
        if not found:
            return None
        return {k: v for k, v in found[0].items() if k not in {"session_id", "extracted_at"}}

    async def counts(self) -> dict[str, int]:
        """Sessions by status."""
        query = """select processing_status, count(*) from public.therapy_sessions
                   where starts_with(file_path, $1) group by 1"""
        return {row[0]: row[1] for row in await self.database.fetch(query, self.prefix)}

    async def until(self, session: UUID, *statuses: str, seconds: float = 20.0) -> dict[str, Any]:
        """Wait until the session has one of `statuses`, and return its row."""
        async with asyncio.timeout(seconds):
            while (row := await self.row(session))["processing_status"] not in statuses:
                await asyncio.sleep(0.02)
        return row

    async def until_done(self, sessions: Sequence[UUID], *, seconds: float = 60.0) -> None:
        """Wait until none of the sessions is pending or being processed."""
        async with asyncio.timeout(seconds):
            while await self.database.fetchval(f"{UNFINISHED} and id = any ($1)", sessions):
                await asyncio.sleep(0.05)


@asynccontextmanager
async def harness_of(stack: StackInfo) -> AsyncIterator[Harness]:
    """Open a harness on all of a migrated stack, as it is."""
    async with _database(stack) as database, connected(stack) as connection:
        yield Harness(stack, connection, database)


@asynccontextmanager
async def _database(stack: StackInfo) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    # Tests change definitions under it, so statements are not kept.
    database = await asyncpg.connect(stack.database_url, statement_cache_size=0)
    try:
        yield database
    finally:
        await database.close()
