"""What the tests of the stand-ins share: a bucket of one's own, and what triggers see of it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from storage3._async.file_api import AsyncBucketProxy
from supabase import AsyncClient, AsyncClientOptions, create_async_client

from tests.integration.storing import Seen
from worker.local.stack import StackInfo


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=60) as client:
        yield client


@pytest.fixture
async def client(stack: StackInfo, http: httpx.AsyncClient) -> AsyncClient:
    options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False, persist_session=False)
    return await create_async_client(stack.url, stack.secret_key, options)


@pytest.fixture
async def bucket(client: AsyncClient) -> AsyncBucketProxy:
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    await client.storage.create_bucket(name)
    return client.storage.from_(name)


@pytest.fixture
async def database(stack: StackInfo) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(stack.database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def seen(database: asyncpg.Connection[asyncpg.Record]) -> AsyncIterator[Seen]:
    """What a trigger saw of objects until now, the first first."""
    await database.execute("""
        create table seen (
          number int generated always as identity, event text, object storage.objects
        );
        create or replace function see() returns trigger language plpgsql security definer as $$
        begin
          insert into public.seen (event, object) values (tg_op, new);
          return new;
        end $$;
        create or replace trigger see after insert or update on storage.objects
          for each row execute function see();
    """)

    async def rows() -> list[asyncpg.Record]:
        return await database.fetch("select event, (object).* from seen order by number")

    yield rows
    await database.execute("drop function see cascade; drop table seen")
