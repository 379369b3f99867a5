"""What the trigger on uploads leaves behind: notes in the queue of uploads, and bells."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.integration.databases import Connection, connected
from worker.local.postgres import SUPERUSER, as_role

PATH = "P005/a.c3d"
INSERT = """
insert into storage.objects (bucket_id, name, version, metadata)
values ($1, $2, $3, '{"size": 5}')
"""
NOTED = """
select bucket_id, object_path, version, outcome from public.storage_intake
order by announced_at, object_path
"""
BUCKET = "insert into storage.buckets (id, name) values ('avatars', 'avatars')"


@asynccontextmanager
async def as_storage(url: str) -> AsyncIterator[Connection]:
    """Connect in the role in which Storage writes."""
    async with connected(as_role(url, "supabase_storage_admin")) as storage:
        yield storage


@asynccontextmanager
async def as_superuser(url: str) -> AsyncIterator[Connection]:
    """Connect as who may break anything."""
    async with connected(as_role(url, SUPERUSER)) as superuser:
        yield superuser


async def upload(
    storage: Connection, path: str = PATH, *, bucket: str = "c3d-files", version: str = "v1"
) -> None:
    """Write an object's row as Storage does."""
    await storage.execute(INSERT, bucket, path, version)


async def noted(database: Connection) -> list[tuple[str, str]]:
    """Path and version of every upload that was noted, all of which wait."""
    rows = await database.fetch(NOTED)
    assert {row["outcome"] for row in rows} <= {"waiting"}
    return [(row["object_path"], row["version"]) for row in rows]


async def bells(database: Connection) -> list[str]:
    """The kinds of the bells that were rung."""
    rows = await database.fetch("select kind from public.worker_bells order by id")
    return [row["kind"] for row in rows]


async def objects(database: Connection) -> int:
    """How many objects there are."""
    return int(await database.fetchval("select count(*) from storage.objects"))
