-- What Realtime publishes for workers beside new sessions: that an upload waits, and their probes.
--
-- Reason: a worker behind a firewall hears of an upload over the connection that it has anyway. A
-- bell holds no data, because what to do is always read from the queues: so claims, extensions and
-- outcomes of uploads do not pass through Realtime. And since Realtime may say that all is well
-- although it hears nothing, a worker inserts a probe and waits to hear it.

set local lock_timeout = '5s';

create table if not exists public.worker_bells (
  id bigint generated always as identity primary key,
  kind text not null,
  rung_at timestamptz not null default now(),
  constraint kind_is_known check (kind in ('upload', 'missed', 'probe'))
);

create index if not exists worker_bells_missed on public.worker_bells (id) where kind = 'missed';

alter table public.worker_bells enable row level security;
revoke all on public.worker_bells from public, anon, authenticated;
revoke all on sequence public.worker_bells_id_seq from public, anon, authenticated;
grant select, insert, update, delete on public.worker_bells to service_role;

comment on table public.worker_bells is
  'Its rows are heard over Realtime and tell a worker to look. They hold no data; probes remove those older than an hour, a thousand at a time.';
comment on column public.worker_bells.id is 'The bell.';
comment on column public.worker_bells.kind is
  'upload: uploads wait in storage_intake. missed: an upload could not be noted there, so the bucket is to be read; it stays until that is done. probe: a worker tests whether it hears.';
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
  delete from public.worker_bells as b
  where b.id in (  -- not all at once: Realtime reads the deletes as well
    select o.id
    from public.worker_bells as o
    where o.rung_at < now() - interval '1 hour' and o.kind <> 'missed'
    order by o.id
    limit 1000
    for update skip locked
  );
  insert into public.worker_bells as b (kind) values ('probe') returning b.id into rung;
  return rung;
end
$$;

revoke execute on function public.ring_probe() from public, anon, authenticated;
grant execute on function public.ring_probe() to service_role;
comment on function public.ring_probe() is
  'Inserts a probe that its caller waits to hear over Realtime, removes some of the bells older than an hour, and returns the id of the probe.';

do $$
begin
  if not exists (
    select from pg_publication_tables
    where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'worker_bells'
  ) then
    alter publication supabase_realtime add table public.worker_bells;
  end if;
exception when insufficient_privilege or undefined_object then
  -- A worker that does not hear polls the queues; it loses nothing.
  raise warning 'worker_bells was not added to the publication supabase_realtime: add it in the dashboard under Database, Publications.';
end
$$;
