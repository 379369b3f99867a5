"""Dry runs as a person starts them, and what a database looks like before and after one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.integration.command_line import command
from tests.integration.databases import Connection, connected, rows
from worker.local.postgres import SUPERUSER, as_role
from worker.local.stack import StackInfo

# As an application has it whose sessions have a code of their own and a therapist who sees them.
IN_USE: Final = """
create table public.patients (id uuid primary key, patient_code text unique, therapist_id uuid);
create table public.therapy_sessions (
  id uuid primary key default gen_random_uuid(),
  file_path text not null,
  file_hash text not null unique,
  file_size_bytes bigint not null,
  patient_code text references public.patients (patient_code),
  session_code text not null unique check (session_code ~ '^P\\d{3}S\\d{3}$|^[0-9a-f-]{36}$'),
  processing_version text not null,
  processing_status text default 'pending',
  game_metadata jsonb default '{}',
  created_at timestamptz default now()
);
create table public.performance_scores (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null unique references public.therapy_sessions (id) on delete cascade
);
alter table public.therapy_sessions enable row level security;
create policy therapists_see on public.therapy_sessions for select to authenticated using (
  patient_code in (
    select p.patient_code from public.patients as p where p.therapist_id = auth.uid()
  )
);
create policy files_of_sessions on storage.objects for select to authenticated using (
  name in (select file_path from public.therapy_sessions)
);
create function public.count_sessions() returns bigint language sql as
  $$ select count(*) from public.therapy_sessions $$;
create function public.log_session() returns trigger language plpgsql as
  $$ begin perform new.id; return new; end $$;
create trigger log_session before insert on public.therapy_sessions
  for each row execute function public.log_session();
create view public.recent as select id, created_at from public.therapy_sessions;
create publication watched for table public.therapy_sessions;
insert into public.therapy_sessions (
  file_path, file_hash, file_size_bytes, session_code, processing_version, processing_status
) values
  ('P001/a.c3d', 'a', 1, 'P001S001', '1', 'completed'),
  ('P001/b.c3d', 'b', 1, 'P001S002', '1', 'reprocessing');
"""

# All that pg_dump would write of the schemas, and the rows of some tables.
_CATALOG: Final = """
select * from (
  select 'relation' as kind, c.oid::regclass::text as name,
    concat(c.relkind, c.relacl, c.relrowsecurity, c.reloptions, obj_description(c.oid)) as said
  from pg_class as c where c.relnamespace in (select oid from spaces)
  union all
  select 'column', a.attrelid::regclass || '.' || a.attname,
    concat(format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attisdropped, a.attacl,
      pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum))
  from pg_attribute as a left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid in (select oid from pg_class where relnamespace in (select oid from spaces))
  union all
  select 'function', p.oid::regprocedure::text, md5(pg_get_functiondef(p.oid)) || p.proacl::text
  from pg_proc as p where p.pronamespace in (select oid from spaces) and p.prokind <> 'a'
  union all select 'constraint', conrelid::regclass || conname, pg_get_constraintdef(oid)
  from pg_constraint where connamespace in (select oid from spaces)
  union all select 'trigger', tgrelid::regclass || tgname, pg_get_triggerdef(oid) from pg_trigger
  union all select 'policy', policyname, concat(tablename, cmd, roles, qual) from pg_policies
  union all select 'published', pubname, tablename from pg_publication_tables
  union all select 'schema', nspname, nspacl::text from spaces
  union all select 'sequence', sequencename, last_value::text from pg_sequences
  union all select 'bucket', id, public::text from storage.buckets
) as everything order by 1, 2, 3
"""
_SPACES: Final = """
with spaces as (
  select * from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'
)
"""


async def dry_run(
    stack: StackInfo, url: str, folder: Path, *arguments: str
) -> tuple[int, str, str]:
    """Run the command; return its exit code, what it printed and what it complained of."""
    settings = {"SUPABASE_DB_URL": url, "SUPABASE_URL": "", "SUPABASE_SECRET_KEY": ""}
    return await command(stack, folder, "migrations", "--dry-run", *arguments, **settings)


async def everything(url: str) -> list[dict[str, Any]]:
    """Return the catalog of a database and the rows of its sessions."""
    found = await rows(as_role(url, SUPERUSER), _SPACES + _CATALOG)
    if any(each["name"] == "therapy_sessions" for each in found):
        found += await rows(url, "select s::text from public.therapy_sessions as s order by 1")
    return found


@asynccontextmanager
async def locked(url: str, mode: str) -> AsyncIterator[Connection]:
    """Hold a lock on the table of sessions."""
    async with connected(url) as holder, holder.transaction():
        await holder.execute(f"lock table public.therapy_sessions in {mode} mode")
        yield holder


def flat(printed: str) -> str:
    """Return what was printed without its line breaks."""
    return re.sub(r"\s+", " ", printed)


async def heard_while(url: str, doing: asyncio.Future[Any]) -> list[str]:
    """Return what a logical slot, as Realtime has one, hears of a database meanwhile."""
    async with connected(as_role(url, SUPERUSER)) as admin:
        slot = "dry_run"
        await admin.execute(
            f"select pg_create_logical_replication_slot('{slot}', 'test_decoding', true)"
        )
        await doing
        heard = await admin.fetch(  # an empty transaction, such as autovacuum's, tells nothing
            f"select data from pg_logical_slot_get_changes('{slot}', null, null,"
            " 'skip-empty-xacts', '1')"
        )
    return [row["data"] for row in heard]
