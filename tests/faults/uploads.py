"""A bucket of a scenario's own: its workers take in what is uploaded, and what becomes of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

from tests.faults.sessions import Queue
from worker.backend.connection import Connection
from worker.local.migrated import connected
from worker.local.stack import StackInfo

BUCKET = "faults"
OBJECTS = rf"^/storage/v1/object/{BUCKET}/"
SETTINGS: Mapping[str, str] = {"C3D_BUCKET": BUCKET, "BUCKET_SWEEP_SECONDS": "1"}
# Storage's trouble, for which no object is to blame; both kinds came with this status.
OWN_TROUBLE = {
    "TenantNotFound": '{"statusCode": "400", "error": "TenantNotFound", "message": "Missing"}',
    "InternalError": '{"statusCode": "400", "code": "InternalError", "message": "Internal error"}',
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """Objects that were uploaded past the proxy, and when."""

    connection: Connection
    uploaded_at: dict[str, float] = field(default_factory=dict)  # seconds since 1970

    async def upload(self, path: str, content: bytes) -> None:
        await self.connection.supabase.storage.from_(BUCKET).upload(path, content)
        self.uploaded_at[path] = time.time()

    async def ends(self, queue: Queue) -> dict[str, str]:
        """What became of every upload: its outcome, by path."""
        found = await queue.rows(
            "select object_path, outcome from public.storage_intake where bucket_id = $1", BUCKET
        )
        return {row["object_path"]: row["outcome"] for row in found}


async def announce(stack: StackInfo, bucket: str | None) -> None:
    """Have uploads to a bucket announce themselves; None: to no bucket."""
    database = await asyncpg.connect(stack.database_url)
    try:
        await database.execute("update public.worker_settings set bucket = $1", bucket)
    finally:
        await database.close()


@asynccontextmanager
async def bucket_of(stack: StackInfo) -> AsyncIterator[Bucket]:
    """Yield an empty bucket whose uploads announce themselves, and remove it in the end."""
    async with connected(stack) as connection:
        storage = connection.supabase.storage
        await storage.create_bucket(BUCKET)
        await announce(stack, BUCKET)
        try:
            yield Bucket(connection)
        finally:
            await announce(stack, None)
            await storage.empty_bucket(BUCKET)
            await storage.delete_bucket(BUCKET)
