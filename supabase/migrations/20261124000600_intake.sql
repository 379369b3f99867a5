-- The register of uploads: which version of which object was taken in, and what became of it.
--
-- Reason: webhooks get lost, arrive twice, and several workers sweep the same bucket. An object is
-- taken in under a reservation that runs out, its outcome is written once, and so nothing is
-- downloaded twice, an overwrite whose webhook was lost is noticed, and a person sees why an
-- upload has no session of its own.
--
-- A row goes with its session. A session that is deleted while its object stays comes back: to be
-- rid of a recording, delete the object first.

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

-- Claim --------------------------------------------------------------------------------------
-- In the order of the names, so that a sweep goes through the bucket once, page by page.

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
#variable_conflict use_column
declare
  right_now timestamptz;
begin
  -- One claim at a time, so that the next one sees what this one took and takes something else.
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
    order by o.name
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

-- Hold ---------------------------------------------------------------------------------------

create or replace function public.extend_object_lease(object uuid, version text, lease_seconds integer)
returns boolean
language sql
volatile
security invoker
set search_path = ''
as $$
  with held as (
    update public.storage_intake as i
    set held_until = clock_timestamp() + make_interval(secs => extend_object_lease.lease_seconds)
    where i.object_id = extend_object_lease.object
      and i.version = extend_object_lease.version
      and i.outcome = 'taking'
    returning 1
  )
  select exists (select from held)
$$;

-- Record -------------------------------------------------------------------------------------
-- Written once: whoever comes second, with a lost reply or a lost reservation, is told the first.

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

-- What is left -------------------------------------------------------------------------------

create or replace function public.count_pending_objects(bucket text, every_file boolean default false)
returns table (waiting bigint, held bigint)
language plpgsql  -- which, unlike sql, is created where there is no Storage
stable
security invoker
set search_path = ''
as $$
#variable_conflict use_column
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

-- The session of a content -------------------------------------------------------------------

create or replace function public.find_session(file_hash text, file_path text)
returns table (session_id uuid, session_path text, status text, taken_in boolean)
language sql
stable
security invoker
set search_path = ''
as $$
  with known as (
    select s.id, s.file_path, s.processing_status, 1 as preference
    from public.therapy_sessions as s
    where s.file_hash in (lower(find_session.file_hash), upper(find_session.file_hash))
    union all
    -- The old system hashed path and size: there the path says whose object it is, until that
    -- object was taken in. Whatever comes to the path later is another recording.
    select s.id, s.file_path, s.processing_status, 2
    from public.therapy_sessions as s
    where s.file_path = find_session.file_path
      and s.file_hash !~* '^[0-9a-f]{64}$'
      and not exists (select from public.storage_intake as i where i.session_id = s.id)
  )
  select
    known.id,
    known.file_path::text,
    known.processing_status::text,
    exists (select from public.storage_intake as i where i.session_id = known.id)
  from known
  order by known.preference
  limit 1
$$;

-- Adopt --------------------------------------------------------------------------------------

create or replace function public.relink_session(
  session uuid,
  bucket text,
  object_path text,
  size_bytes bigint
)
returns text
language plpgsql
security invoker
set search_path = ''
as $$
declare
  known public.therapy_sessions;
  heals boolean;
  homeless boolean;
begin
  select s.* into known
  from public.therapy_sessions as s
  where s.id = relink_session.session
  for update;

  if not found then
    return 'missing';
  end if;

  -- What was wrong was the object, and here it is; or nobody had taken it for a recording.
  heals := (
      known.processing_status = 'failed'
      and coalesce(known.processing_error, '') ~ '^(object_missing|size_mismatch|hash_mismatch): '
    ) or (
      known.processing_status = 'skipped' and relink_session.object_path ilike '%.c3d'
    );
  homeless := known.file_path <> relink_session.object_path and not exists (
    select
    from storage.objects as o
    where o.bucket_id = relink_session.bucket and o.name = known.file_path
  );

  if heals then
    update public.therapy_sessions as s
    set
      file_path = relink_session.object_path,
      file_size_bytes = relink_session.size_bytes,
      processing_status = 'pending',
      processing_attempts = 0,
      processing_due_at = clock_timestamp(),
      processing_claim = null,
      processing_error = 'requeued: Its recording was uploaded again.'
    where s.id = relink_session.session;
    return 'requeued';
  elsif homeless then
    update public.therapy_sessions as s
    set file_path = relink_session.object_path
    where s.id = relink_session.session;
    return 'relinked';
  end if;

  return 'kept';
end
$$;

-- Access -------------------------------------------------------------------------------------

revoke execute on function
  public.claim_objects(text, integer, integer, text, uuid, boolean),
  public.extend_object_lease(uuid, text, integer),
  public.record_intake(uuid, text, text, text, uuid, text),
  public.count_pending_objects(text, boolean),
  public.find_session(text, text),
  public.relink_session(uuid, text, text, bigint)
from public, anon, authenticated;

grant execute on function
  public.claim_objects(text, integer, integer, text, uuid, boolean),
  public.extend_object_lease(uuid, text, integer),
  public.record_intake(uuid, text, text, text, uuid, text),
  public.count_pending_objects(text, boolean),
  public.find_session(text, text),
  public.relink_session(uuid, text, text, bigint)
to service_role;

-- In words -----------------------------------------------------------------------------------

comment on table public.storage_intake is
  'Every uploaded version of every recording, and what became of it. A row goes with its session; a session deleted while its object stays is made anew.';
comment on column public.storage_intake.object_id is 'The object in Storage (storage.objects.id).';
comment on column public.storage_intake.version is 'Its version: overwriting an object makes a new one.';
comment on column public.storage_intake.object_path is 'Where it lay in the bucket when it was taken in.';
comment on column public.storage_intake.outcome is
  'session: it made the session. duplicate: its content had a session already. skipped: no recording, its session says so. refused: no session, detail says why. taking: a worker is downloading it.';
comment on column public.storage_intake.session_id is 'The session that holds its content.';
comment on column public.storage_intake.detail is 'Why it was refused: a code, then a sentence with what helps.';
comment on column public.storage_intake.taken_at is 'When it was taken in.';
comment on column public.storage_intake.held_until is
  'While taking: until then the worker has it to itself. Later another may take it.';

comment on function public.claim_objects(text, integer, integer, text, uuid, boolean) is
  'Gives the caller objects of a bucket that nobody has taken in, in the order of their names, and holds them for lease_seconds. Only .c3d files, unless every_file.';
comment on function public.extend_object_lease(uuid, text, integer) is
  'Holds an object that is being taken in for lease_seconds from now. False: it is not being taken in any more.';
comment on function public.record_intake(uuid, text, text, text, uuid, text) is
  'Writes what became of an object, once: the first outcome stays and is returned.';
comment on function public.count_pending_objects(text, boolean) is
  'How many objects of a bucket wait to be taken in, and how many are being taken in.';
comment on function public.find_session(text, text) is
  'The session that holds a content already, if any, and whether an upload of it was taken in before. A session of the old system is known by its path.';
comment on function public.relink_session(uuid, text, text, bigint) is
  'Points a session to an upload of its own content. One that failed for want of it is read anew: requeued. One whose object is gone gets the new path: relinked. Any other: kept.';
