-- What Realtime publishes for workers beside new sessions: the probes of the workers themselves.
--
-- Reason: Realtime may say that all is well although it hears nothing. Only a change that was made
-- and heard proves that it listens, so a worker inserts a probe and waits to hear it. A bell holds
-- no data: claims, extensions and outcomes do not have to pass through Realtime.

set local lock_timeout = '5s';

create table if not exists public.worker_bells (
  id bigint generated always as identity primary key,
  kind text not null,
  rung_at timestamptz not null default now(),
  constraint kind_is_known check (kind in ('upload', 'probe'))
);

alter table public.worker_bells enable row level security;
revoke all on public.worker_bells from public, anon, authenticated;
revoke all on sequence public.worker_bells_id_seq from public, anon, authenticated;
grant select, insert, update, delete on public.worker_bells to service_role;

comment on table public.worker_bells is
  'By its rows a worker tests whether it hears what Realtime publishes. Rows older than an hour are removed by the next probe.';
comment on column public.worker_bells.id is 'The bell.';
comment on column public.worker_bells.kind is 'probe: a worker tests whether it hears. upload: an upload was noted; nothing inserts it yet.';
comment on column public.worker_bells.rung_at is 'When.';

create or replace function public.ring_probe()
returns bigint
language plpgsql
security invoker
set search_path = ''
as $$
declare
  rung bigint;
begin
  delete from public.worker_bells as b where b.rung_at < now() - interval '1 hour';
  insert into public.worker_bells as b (kind) values ('probe') returning b.id into rung;
  return rung;
end
$$;

revoke execute on function public.ring_probe() from public, anon, authenticated;
grant execute on function public.ring_probe() to service_role;
comment on function public.ring_probe() is
  'Inserts a probe that its caller waits to hear over Realtime, removes bells older than an hour, and returns the id of the probe.';

do $$
begin
  if not exists (
    select from pg_publication_tables
    where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'worker_bells'
  ) then
    alter publication supabase_realtime add table public.worker_bells;
  end if;
exception when insufficient_privilege or undefined_object then
  -- A worker that does not hear polls the table; it loses nothing.
  raise warning 'worker_bells was not added to the publication supabase_realtime: add it in the dashboard under Database, Publications.';
end
$$;

-- What the upload trigger and the workers will share: nothing reads it yet -----------------------

create table if not exists public.worker_settings (
  only_row boolean primary key default true,
  bucket text not null default 'c3d-files',
  every_file boolean not null default false,
  constraint there_is_one_row check (only_row)
);

insert into public.worker_settings default values on conflict do nothing;

alter table public.worker_settings enable row level security;
revoke all on public.worker_settings from public, anon, authenticated;
grant select, update on public.worker_settings to service_role;

comment on table public.worker_settings is
  'One row: what the trigger on uploads and the workers have to agree on. Nothing reads it yet: the trigger has its own condition, and each worker its own settings.';
comment on column public.worker_settings.only_row is 'Always true: there is one row.';
comment on column public.worker_settings.bucket is 'The bucket of the recordings, as C3D_BUCKET.';
comment on column public.worker_settings.every_file is 'Whether files other than .c3d get a session too, as OTHER_FILES=skip.';
