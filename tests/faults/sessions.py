"""The sessions of one scenario, and a table that counts every technical row written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from tests.faults.recordings import Recording

ANSWER_SECONDS = 60.0  # in which a database that is away has to return
AWAY = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a backend that ends before it was asked anything
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    OSError,
)

COUNT_WRITES = """
create table if not exists public.writes (
  session_id uuid not null, at timestamptz not null default clock_timestamp());
create or replace function public.count_write() returns trigger language plpgsql as $$
begin
  insert into public.writes (session_id) values (new.session_id);
  return new;
end $$;
create or replace trigger count_write after insert or update on public.c3d_technical_data
  for each row execute function public.count_write();
grant insert on public.writes to service_role;
"""
STOP_COUNTING = """
drop trigger if exists count_write on public.c3d_technical_data;
drop function if exists public.count_write();
drop table if exists public.writes;
"""
INSERT = """
insert into public.therapy_sessions
  (file_path, file_hash, file_size_bytes, original_filename, hash_measured_at)
select *, now() from unnest($1::text[], $2::text[], $3::integer[], $1::text[])
on conflict (file_hash) do update set file_path = excluded.file_path  -- a repeat after a lost reply
returning id
"""


@dataclass(slots=True)
class Queue:
    """The sessions of one scenario, as the database knows them."""

    url: str
    recordings: Sequence[Recording]
    used: int = 0
    made: list[UUID] = field(default_factory=list)

    async def start(self) -> None:
        """Empty the tables and count writes from now on."""
        await self.execute("truncate public.therapy_sessions cascade;" + COUNT_WRITES)
        await self.execute("truncate public.writes")

    async def end(self) -> None:
        await self.execute("truncate public.therapy_sessions cascade;" + STOP_COUNTING)

    async def insert(self, recordings: Sequence[Recording]) -> list[UUID]:
        paths = [each.path for each in recordings]
        hashes = [each.sha256 for each in recordings]
        sizes = [each.size for each in recordings]
        found = await self.rows(INSERT, paths, hashes, sizes)
        ids = [row["id"] for row in found]
        self.made += ids
        return ids

    async def add(self, count: int) -> list[UUID]:
        """Create sessions of recordings that no session of this scenario has yet."""
        recordings = self.recordings[self.used : self.used + count]
        assert len(recordings) == count, "This scenario needs more recordings."
        self.used += count
        return await self.insert(recordings)

    async def pending(self) -> int:
        return await self.count(
            "select count(*) from public.therapy_sessions where processing_status = 'pending'"
        )

    async def unfinished(self) -> int:
        return await self.count(
            """select count(*) from public.therapy_sessions
               where processing_status in ('pending', 'processing')"""
        )

    async def until_done(self, *, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while await self.unfinished():
                await asyncio.sleep(0.1)

    async def completions(self, since: float = 0.0) -> list[float]:
        """When technical rows were written, in seconds since 1970, in order."""
        found = await self.rows(
            "select extract(epoch from at)::float8 as at from public.writes order by at"
        )
        return [row["at"] for row in found if row["at"] > since]

    async def twice(self) -> int:
        """Sessions whose technical row was written more than once."""
        return await self.count(
            """select count(*) from (
                 select from public.writes group by session_id having count(*) > 1) as twice"""
        )

    async def not_as(self, status: str, reason: str, sessions: Sequence[UUID]) -> list[str]:
        """Describe those of the sessions that have not ended so."""
        found = await self.rows(
            """select id, processing_status, processing_attempts, processing_error
               from public.therapy_sessions where id = any ($1)
               and (processing_status <> $2 or coalesce(processing_error, '') not like $3)""",
            list(sessions),
            status,
            reason,
        )
        return [str(dict(row)) for row in found]

    async def spent(self) -> int:
        """Attempts beyond each session's first."""
        return await self.count(
            "select coalesce(sum(greatest(processing_attempts - 1, 0)), 0)"
            " from public.therapy_sessions"
        )

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask again while the database is away: its trouble is for the worker to handle."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                try:
                    return await self._rows(query, *arguments)
                except AWAY:
                    await asyncio.sleep(0.1)

    async def _rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.url, statement_cache_size=0)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def count(self, query: str) -> int:
        found: int = (await self.rows(query))[0][0]
        return found

    async def execute(self, sql: str) -> None:
        connection = await asyncpg.connect(self.url, statement_cache_size=0)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()
