-- The register of uploads: which version of which object was taken in, and what became of it.
--
-- Reason: webhooks get lost, arrive twice, and several workers sweep the same bucket. So a worker
-- claims an object with a lease that runs out, and its outcome is written once. No worker downloads
-- what another is downloading, a sweep finds the overwrite whose webhook was lost, and a person
-- sees why an upload has no session of its own.
--
-- A row goes with its session. A session that is deleted while its object stays comes back: to
-- remove a recording for good, delete the object first.

set local lock_timeout = '5s';

-- Table --------------------------------------------------------------------------------------

create table if not exists public.storage_intake (
  object_id uuid not null,
  version text not null,
  object_path text not null,
  outcome text not null,
  session_id uuid,
  detail text,
  taken_at timestamptz not null default now(),
  held_until timestamptz,
  constraint storage_intake_pkey primary key (object_id, version),
  constraint storage_intake_session_id_fkey foreign key (session_id)
    references public.therapy_sessions (id) on delete cascade,
  constraint outcome_is_known
    check (outcome in ('taking', 'session', 'duplicate', 'skipped', 'refused')),
  constraint held_while_taking_only check ((outcome = 'taking') = (held_until is not null))
);

create index if not exists storage_intake_session on public.storage_intake (session_id);

alter table public.storage_intake enable row level security;
revoke all on public.storage_intake from public, anon, authenticated;
grant select, insert, update, delete on public.storage_intake to service_role;

comment on table public.storage_intake is
  'Every uploaded version of every recording, and what became of it. A row goes with its session; a session that is deleted while its object stays is made anew.';
comment on column public.storage_intake.object_id is 'The object in Storage (storage.objects.id).';
comment on column public.storage_intake.version is 'Its version: overwriting an object makes a new one.';
comment on column public.storage_intake.object_path is
  'Its path in the bucket when it was taken in.';
comment on column public.storage_intake.outcome is
  'session: it created the session. duplicate: its content already had a session. skipped: it is not a recording, as its session says. refused: it has no session, detail says why. taking: a worker is downloading it.';
comment on column public.storage_intake.session_id is 'The session that holds its content.';
comment on column public.storage_intake.detail is
  'Why it was refused: a code, then a sentence with the cure.';
comment on column public.storage_intake.taken_at is 'When it was taken in.';
comment on column public.storage_intake.held_until is
  'While taking: the end of the worker''s lease. Later another worker may take it in.';

create or replace function public.claim_objects(
  bucket text,
  batch_size integer,
  lease_seconds integer,
  after_name text default '',
  only_object uuid default null,
  every_file boolean default false
)
returns table (object_id uuid, version text, object_path text, size_bytes bigint)
language plpgsql
security invoker
set search_path = ''
set plan_cache_mode = 'force_custom_plan'  -- one object and a whole bucket want different plans
as $$
declare
  right_now timestamptz;
begin
  -- One claim at a time, so that the next one sees what this one took and takes another.
  perform pg_advisory_xact_lock(hashtextextended('claim_objects ' || claim_objects.bucket, 0));
  right_now := clock_timestamp();

  return query
  with untaken as (
    select
      o.id,
      coalesce(o.version, '') as version,
      o.name,
      case when jsonb_typeof(o.metadata -> 'size') = 'number'
        then trunc((o.metadata ->> 'size')::numeric)::bigint
      end as size_bytes
    from storage.objects as o
    where o.bucket_id = claim_objects.bucket
      and o.name > claim_objects.after_name
      and (claim_objects.only_object is null or o.id = claim_objects.only_object)
      and (o.name ilike '%.c3d' or claim_objects.every_file)
      and o.name not like '%.emptyFolderPlaceholder'  -- how the dashboard makes a folder
      and not exists (
        select
        from public.storage_intake as i
        where i.object_id = o.id
          and i.version = coalesce(o.version, '')
          and (i.outcome <> 'taking' or i.held_until > right_now)
      )
    order by o.name  -- so that a sweep goes through the bucket once, page by page
    limit claim_objects.batch_size
  ),
  claimed as (
    insert into public.storage_intake as i (object_id, version, object_path, outcome, held_until)
    select
      untaken.id, untaken.version, untaken.name, 'taking',
      right_now + make_interval(secs => claim_objects.lease_seconds)
    from untaken
    on conflict on constraint storage_intake_pkey do update
    set
      object_path = excluded.object_path,
      taken_at = excluded.taken_at,
      held_until = excluded.held_until
    where i.outcome = 'taking'
    returning i.object_id, i.version
  )
  select untaken.id, untaken.version, untaken.name, untaken.size_bytes
  from untaken
  join claimed on claimed.object_id = untaken.id and claimed.version = untaken.version
  order by untaken.name;
end
$$;

revoke execute on function public.claim_objects(text, integer, integer, text, uuid, boolean)
  from public, anon, authenticated;
grant execute on function public.claim_objects(text, integer, integer, text, uuid, boolean)
  to service_role;
comment on function public.claim_objects(text, integer, integer, text, uuid, boolean) is
  'Claims objects of a bucket that have not been taken in, in the order of their names, with a lease of lease_seconds. Only .c3d files, unless every_file.';

create or replace function public.extend_object_lease(object uuid, version text, lease_seconds integer)
returns boolean
language plpgsql
security invoker
set search_path = ''
as $$
begin
  update public.storage_intake as i
  set held_until = clock_timestamp() + make_interval(secs => extend_object_lease.lease_seconds)
  where i.object_id = extend_object_lease.object
    and i.version = extend_object_lease.version
    and i.outcome = 'taking';

  return found;
end
$$;

revoke execute on function public.extend_object_lease(uuid, text, integer)
  from public, anon, authenticated;
grant execute on function public.extend_object_lease(uuid, text, integer) to service_role;
comment on function public.extend_object_lease(uuid, text, integer) is
  'Extends the lease of an object that is being taken in to lease_seconds from now. False: it is not being taken in.';

create or replace function public.record_intake(
  object uuid,
  version text,
  object_path text,
  outcome text,
  session uuid default null,
  detail text default null
)
returns text
language plpgsql
security invoker
set search_path = ''
as $$
declare
  recorded text;
begin
  -- A second call, after a lost reply or a lease that ran out, gets the outcome of the first.
  insert into public.storage_intake as i (object_id, version, object_path, outcome, session_id, detail)
  values (
    record_intake.object, record_intake.version, record_intake.object_path,
    record_intake.outcome, record_intake.session, record_intake.detail
  )
  on conflict on constraint storage_intake_pkey do update
  set
    object_path = excluded.object_path,
    outcome = excluded.outcome,
    session_id = excluded.session_id,
    detail = excluded.detail,
    taken_at = clock_timestamp(),
    held_until = null
  where i.outcome = 'taking';

  select i.outcome into recorded
  from public.storage_intake as i
  where i.object_id = record_intake.object and i.version = record_intake.version;

  return recorded;
end
$$;

revoke execute on function public.record_intake(uuid, text, text, text, uuid, text)
  from public, anon, authenticated;
grant execute on function public.record_intake(uuid, text, text, text, uuid, text) to service_role;
comment on function public.record_intake(uuid, text, text, text, uuid, text) is
  'Writes what became of an object, once: the first outcome stays and is returned.';

create or replace function public.count_pending_objects(bucket text, every_file boolean default false)
returns table (waiting bigint, held bigint)
language plpgsql  -- which, unlike sql, is created where there is no Storage
stable
security invoker
set search_path = ''
as $$
begin
  return query
  select
    count(*) filter (where i.object_id is null or i.held_until <= now()),
    count(*) filter (where i.held_until > now())
  from storage.objects as o
  left join public.storage_intake as i
    on i.object_id = o.id and i.version = coalesce(o.version, '')
  where o.bucket_id = count_pending_objects.bucket
    and (o.name ilike '%.c3d' or count_pending_objects.every_file)
    and o.name not like '%.emptyFolderPlaceholder'
    and (i.object_id is null or i.outcome = 'taking');
end
$$;

revoke execute on function public.count_pending_objects(text, boolean)
  from public, anon, authenticated;
grant execute on function public.count_pending_objects(text, boolean) to service_role;
comment on function public.count_pending_objects(text, boolean) is
  'How many objects of a bucket wait to be taken in, and how many are being taken in.';
