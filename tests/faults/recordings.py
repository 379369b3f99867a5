"""Recordings in the bucket, uploaded once for all scenarios."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from dataclasses import dataclass

from worker.backend.connection import Connection
from worker.local.migrated import connected
from worker.local.recordings import ghostly_recording
from worker.local.stack import StackInfo
from worker.settings import DEFAULT_BUCKET

RECORDING = ghostly_recording(seconds=2.0)
UPLOADS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Recording:
    """An object in the bucket, or one that should be there."""

    path: str
    sha256: str
    size: int


def content(number: int) -> bytes:
    """A recording unlike the others, by its last sample."""
    return RECORDING[:-4] + struct.pack("<f", number)


async def upload_many(stack: StackInfo, count: int) -> list[Recording]:
    """Upload so many recordings, each for one session per scenario."""
    numbers = iter(range(count))
    recordings: list[Recording] = []

    async def uploader(connection: Connection) -> None:
        for number in numbers:
            path = f"P005/recordings-{number}.c3d"
            recordings.append(await _upload(connection, path, content(number)))

    async with connected(stack) as connection:
        await asyncio.gather(*(uploader(connection) for _ in range(UPLOADS_AT_ONCE)))
    return recordings


async def upload(stack: StackInfo, path: str, data: bytes) -> Recording:
    """Put one object into the bucket, in the place of another if there is one."""
    async with connected(stack) as connection:
        return await _upload(connection, path, data)


async def _upload(connection: Connection, path: str, data: bytes) -> Recording:
    bucket = connection.supabase.storage.from_(DEFAULT_BUCKET)
    await bucket.upload(path, data, {"upsert": "true"})
    return described(path, data)


def described(path: str, data: bytes) -> Recording:
    return Recording(path, hashlib.sha256(data).hexdigest(), len(data))
