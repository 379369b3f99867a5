-- Makes therapy_sessions a queue: four columns, the five states, and the only ways between them.
--
-- Reason: a worker can die, a reply can get lost, and two workers can want the same session. So a
-- session is held under a lease that runs out, every function may be called again with the same
-- claim, and a caller whose claim no longer holds the session changes nothing and is told so.
--
--   pending --claim--> processing --complete--> completed
--      ^                  |-- fail: pending again, due later; or failed
--      |                  |-- release: pending again, the attempt given back
--      |                  `-- the lease runs out: claimable again, in the end failed
--      `-- requeue from failed or completed              skipped: there is no C3D to read
--
-- Times: now() stands still within a transaction, and these functions may wait for a lock. So
-- leases and due times are measured by clock_timestamp(), read after the waiting is over.

set local lock_timeout = '5s';

-- Columns ------------------------------------------------------------------------------------
-- No default at first: the sessions that are here already have been due since they came.

set local client_min_messages = warning;

alter table public.therapy_sessions
  add column if not exists processing_attempts integer not null default 0,
  add column if not exists processing_due_at timestamptz,
  add column if not exists processing_claim uuid,
  add column if not exists processing_error text;

set local client_min_messages = notice;

create or replace function pg_temp.check_queue_columns()
returns void
language plpgsql
as $$
declare
  others text;
begin
  select string_agg(format('%s is %s and has to be %s', wanted.name, found.type, wanted.type), '; ')
  into others
  from (values
    ('processing_attempts', 'integer'),
    ('processing_due_at', 'timestamp with time zone'),
    ('processing_claim', 'uuid'),
    ('processing_error', 'text')
  ) as wanted (name, type)
  join (
    select attname, format_type(atttypid, atttypmod) as type
    from pg_attribute
    where attrelid = 'public.therapy_sessions'::regclass and not attisdropped
  ) as found on found.attname = wanted.name
  where found.type <> wanted.type;

  if others is not null then
    raise exception 'therapy_sessions has columns of the queue''s names and other types, so this migration changed nothing: %. Rename them, then push again.',
      others;
  end if;
end
$$;

select pg_temp.check_queue_columns();
drop function pg_temp.check_queue_columns();

update public.therapy_sessions set processing_attempts = 0 where processing_attempts is null;

alter table public.therapy_sessions
  alter column processing_attempts set default 0,
  alter column processing_attempts set not null,
  alter column processing_due_at set default now();

-- States -------------------------------------------------------------------------------------

do $$
declare
  rule record;
  put_back bigint;
begin
  for rule in
    select conname, pg_get_constraintdef(oid) as definition
    from pg_constraint
    where conrelid = 'public.therapy_sessions'::regclass
      and contype = 'c'
      and conname <> 'processing_status_is_known'
      and conkey = array[(
        select attnum from pg_attribute where attrelid = conrelid and attname = 'processing_status'
      )]
  loop
    execute format('alter table public.therapy_sessions drop constraint %I', rule.conname);
    raise notice 'Replaced % on therapy_sessions: %', rule.conname, rule.definition;
  end loop;

  -- Also a session that is processing under no lease: nobody is working on it any more.
  update public.therapy_sessions
  set
    processing_status = 'pending',
    processing_error = format('legacy_status: The session said %s before the queue was installed. It is tried again.', quote_literal(processing_status))
  where processing_status not in ('pending', 'processing', 'completed', 'failed', 'skipped')
    or (processing_status = 'processing' and processing_claim is null);
  get diagnostics put_back = row_count;
  if put_back > 0 then
    raise notice '% sessions of an old or unknown state are pending; processing_error keeps what they said.', put_back;
  end if;

  if not exists (
    select from pg_constraint
    where conrelid = 'public.therapy_sessions'::regclass and conname = 'processing_status_is_known'
  ) then
    alter table public.therapy_sessions add constraint processing_status_is_known
      check (processing_status in ('pending', 'processing', 'completed', 'failed', 'skipped'));
  end if;
end
$$;

-- Serves the claim: what is waiting or held, the longest due first. The finished are not in it.
create index if not exists therapy_sessions_unfinished on public.therapy_sessions (
  processing_status,
  (coalesce(processing_due_at, '-infinity'::timestamptz)),
  created_at
) where processing_status in ('pending', 'processing');

-- Claim --------------------------------------------------------------------------------------

create or replace function public.claim_sessions(
  claim uuid,
  batch_size integer,
  lease_seconds integer,
  max_attempts integer
)
returns table (
  id uuid,
  file_path text,
  file_hash text,
  file_size_bytes bigint,
  original_filename text,
  processing_attempts integer,
  processing_due_at timestamptz,
  abandoned boolean  -- its last lease ran out: it may be what its worker died of
)
language plpgsql
security invoker
set search_path = ''
as $$
declare
  right_now timestamptz;
  longest_waiting timestamptz;
  taken uuid[];
  was_abandoned boolean := false;
begin
  if claim_sessions.claim is null or claim_sessions.batch_size < 1
    or claim_sessions.lease_seconds < 1 or claim_sessions.max_attempts < 1
  then
    raise exception 'claim_sessions needs a claim, and batch_size, lease_seconds and max_attempts of 1 or more.'
      using errcode = 'invalid_parameter_value';
  end if;

  -- A repeat of this very call waits here until the first is done, then gets the first's rows.
  perform pg_advisory_xact_lock(hashtextextended('claim_sessions ' || claim_sessions.claim::text, 0));
  right_now := clock_timestamp();

  select array_agg(held.id) into taken
  from public.therapy_sessions as held
  where held.processing_status = 'processing'
    and held.processing_claim = claim_sessions.claim;

  if taken is not null then
    -- The caller counts its lease from this call. One that came alone may have been abandoned.
    update public.therapy_sessions as s
    set processing_due_at = right_now + make_interval(secs => claim_sessions.lease_seconds)
    where s.id = any (taken);

    select cardinality(taken) = 1 and s.processing_attempts > 1 into was_abandoned
    from public.therapy_sessions as s
    where s.id = taken[1];
  else
    -- Its last lease ran out too: whatever it does to workers, it has done it often enough.
    with worn_out as (
      select s.id
      from public.therapy_sessions as s
      where s.processing_status = 'processing'
        and coalesce(s.processing_due_at, '-infinity') <= right_now
        and s.processing_attempts >= claim_sessions.max_attempts
      for update skip locked
    )
    update public.therapy_sessions as s
    set
      processing_status = 'failed',
      processing_due_at = null,
      processing_error = format(
        'worker_died: Its worker stopped while it had this session, after %s tries.%s Inspect its file offline with `c3d-worker inspect`, then requeue it.',
        s.processing_attempts,
        ' Before that: ' || s.processing_error
      )
    from worn_out
    where s.id = worn_out.id;

    -- Abandoned and waiting sessions take turns by how long they have been due, so neither kind
    -- holds up the other. An abandoned one is taken alone: it may be what killed its worker.
    select coalesce(s.processing_due_at, '-infinity') into longest_waiting
    from public.therapy_sessions as s
    where s.processing_status = 'pending'
      and coalesce(s.processing_due_at, '-infinity') <= right_now
    order by coalesce(s.processing_due_at, '-infinity')
    limit 1
    for update skip locked;  -- one that somebody else has is waiting no longer

    with abandoned as (
      select s.id
      from public.therapy_sessions as s
      where s.processing_status = 'processing'
        and coalesce(s.processing_due_at, '-infinity') <= least(right_now, longest_waiting)
        and s.processing_attempts < claim_sessions.max_attempts
      order by coalesce(s.processing_due_at, '-infinity')
      limit 1
      for update skip locked
    )
    select array_agg(abandoned.id) into taken from abandoned;
    was_abandoned := taken is not null;

    if taken is null then
      with waiting as (
        select s.id
        from public.therapy_sessions as s
        where s.processing_status = 'pending'
          and coalesce(s.processing_due_at, '-infinity') <= right_now
        order by coalesce(s.processing_due_at, '-infinity'), s.created_at
        limit claim_sessions.batch_size
        for update skip locked
      )
      select array_agg(waiting.id) into taken from waiting;
    end if;

    update public.therapy_sessions as s
    set
      processing_status = 'processing',
      processing_attempts = s.processing_attempts + 1,
      processing_claim = claim_sessions.claim,
      processing_due_at = right_now + make_interval(secs => claim_sessions.lease_seconds)
    where s.id = any (taken);
  end if;

  return query
  select
    s.id,
    s.file_path::text,
    s.file_hash::text,
    s.file_size_bytes::bigint,
    s.original_filename::text,
    s.processing_attempts,
    s.processing_due_at,
    was_abandoned
  from public.therapy_sessions as s
  where s.id = any (taken)
  order by s.created_at, s.id;
end
$$;

-- Complete -----------------------------------------------------------------------------------

create or replace function public.complete_session(
  session uuid,
  claim uuid,
  technical jsonb,
  content_hash text,
  game jsonb default '{}',
  statistics jsonb default null
)
returns text
language plpgsql
security invoker
set search_path = ''
as $$
declare
  held public.therapy_sessions;
  right_hash text;
  twin uuid;
begin
  if jsonb_typeof(complete_session.technical) is distinct from 'object'
    or complete_session.technical - array[
      'original_sampling_rate', 'original_duration_seconds', 'original_sample_count',
      'channel_count', 'channel_names', 'sampling_rate', 'duration_seconds', 'frame_count'
    ] <> '{}'
  then
    raise exception 'technical must be an object whose keys are technical columns of c3d_technical_data.'
      using errcode = 'invalid_parameter_value';
  end if;
  if complete_session.content_hash is null or complete_session.content_hash !~ '^[0-9a-f]{64}$' then
    raise exception 'content_hash must be a SHA-256 in 64 lower-case hex digits.'
      using errcode = 'invalid_parameter_value';
  end if;
  if jsonb_typeof(coalesce(complete_session.game, '{}')) <> 'object' then
    raise exception 'game must be an object.' using errcode = 'invalid_parameter_value';
  end if;
  if octet_length(complete_session.statistics::text) > 65536 then
    raise exception 'statistics must be 64 KB at most.' using errcode = 'invalid_parameter_value';
  end if;

  select s.* into held
  from public.therapy_sessions as s
  where s.id = complete_session.session
  for update;

  if not found or held.processing_claim is distinct from complete_session.claim then
    return 'lost';
  elsif held.processing_status = 'completed' then
    return 'completed';
  elsif held.processing_status = 'failed' and held.processing_error like 'duplicate\_content: %' then
    return 'duplicate';
  elsif held.processing_status <> 'processing' then
    return 'lost';
  end if;

  -- The old system hashed path and size; what is no content hash gives way to the measured one.
  right_hash := case
    when held.file_hash ~* '^[0-9a-f]{64}$' then held.file_hash
    else complete_session.content_hash
  end;

  begin
    select s.id into twin
    from public.therapy_sessions as s
    where s.file_hash in (right_hash, upper(right_hash))
      and s.id <> complete_session.session
      and right_hash <> held.file_hash;

    if twin is null then
      update public.therapy_sessions as s
      set
        processing_status = 'completed',
        processing_due_at = null,
        processing_error = null,
        file_hash = right_hash,
        game_metadata = case
          when s.game_metadata is null or jsonb_typeof(s.game_metadata) = 'null'
            then coalesce(complete_session.game, '{}')
          when jsonb_typeof(s.game_metadata) = 'object'
            then coalesce(complete_session.game, '{}') || s.game_metadata  -- what others set stays
          else s.game_metadata
        end,
        analytics_cache = case  -- other keys are other programs' results
          when complete_session.statistics is null then s.analytics_cache
          when jsonb_typeof(s.analytics_cache) = 'object'
            then s.analytics_cache
              || jsonb_build_object('channel_statistics', complete_session.statistics)
          else jsonb_build_object('channel_statistics', complete_session.statistics)
        end
      where s.id = complete_session.session;
    end if;
  exception when unique_violation then
    -- The twin took the hash between the look and the update, and is visible now.
    select s.id into twin
    from public.therapy_sessions as s
    where s.file_hash = right_hash
      and s.id <> complete_session.session;
    if twin is null then
      raise;
    end if;
  end;

  if twin is not null then
    update public.therapy_sessions as s
    set
      processing_status = 'failed',
      processing_due_at = null,
      processing_error = format(
        'duplicate_content: Session %s holds the same recording, byte for byte. Use that one; this session can be deleted.',
        twin
      )
    where s.id = complete_session.session;
    return 'duplicate';
  end if;

  insert into public.c3d_technical_data as technical_row (
    session_id, original_sampling_rate, original_duration_seconds, original_sample_count,
    channel_count, channel_names, sampling_rate, duration_seconds, frame_count, extracted_at
  )
  select
    complete_session.session,
    read.original_sampling_rate, read.original_duration_seconds, read.original_sample_count,
    read.channel_count, read.channel_names,
    read.sampling_rate, read.duration_seconds, read.frame_count,
    now()
  from jsonb_to_record(complete_session.technical) as read (
    original_sampling_rate real,
    original_duration_seconds real,
    original_sample_count integer,
    channel_count integer,
    channel_names text[],
    sampling_rate real,
    duration_seconds real,
    frame_count integer
  )
  on conflict (session_id) do update
  set
    original_sampling_rate = excluded.original_sampling_rate,
    original_duration_seconds = excluded.original_duration_seconds,
    original_sample_count = excluded.original_sample_count,
    channel_count = excluded.channel_count,
    channel_names = excluded.channel_names,
    sampling_rate = excluded.sampling_rate,
    duration_seconds = excluded.duration_seconds,
    frame_count = excluded.frame_count,
    extracted_at = excluded.extracted_at;

  return 'completed';
end
$$;

-- Fail ---------------------------------------------------------------------------------------

create or replace function public.fail_session(
  session uuid,
  claim uuid,
  code text,
  message text,
  max_attempts integer,
  retry_seconds double precision default null
)
returns text
language plpgsql
security invoker
set search_path = ''
as $$
declare
  held public.therapy_sessions;
  verdict text;
begin
  select s.* into held
  from public.therapy_sessions as s
  where s.id = fail_session.session
  for update;

  if not found or held.processing_claim is distinct from fail_session.claim then
    return 'lost';
  elsif held.processing_status in ('pending', 'failed') then
    return held.processing_status;  -- said already
  elsif held.processing_status <> 'processing' then
    return 'lost';
  end if;

  verdict := case
    when fail_session.retry_seconds is not null
      and held.processing_attempts < fail_session.max_attempts then 'pending'
    else 'failed'
  end;

  update public.therapy_sessions as s
  set
    processing_status = verdict,
    processing_due_at = case
      when verdict = 'pending'
        then clock_timestamp() + make_interval(secs => greatest(fail_session.retry_seconds, 0))
    end,
    processing_error = concat(fail_session.code, ': ', fail_session.message)
  where s.id = fail_session.session;

  return verdict;
end
$$;

-- Release ------------------------------------------------------------------------------------

create or replace function public.release_sessions(
  claims uuid[],
  sessions uuid[],
  delay_seconds double precision default 0
)
returns setof uuid
language plpgsql
security invoker
set search_path = ''
as $$
begin
  with still_held as (
    select s.id
    from public.therapy_sessions as s
    where s.id = any (release_sessions.sessions)
      and s.processing_status = 'processing'
      and s.processing_claim = any (release_sessions.claims)
    order by s.id  -- the same order everywhere, so that two calls never wait for each other
    for update
  )
  update public.therapy_sessions as s
  set
    processing_status = 'pending',
    processing_due_at = clock_timestamp() + make_interval(secs => greatest(delay_seconds, 0)),
    processing_attempts = greatest(s.processing_attempts - 1, 0)
  from still_held
  where s.id = still_held.id;

  -- The lease stays on a released session until somebody else claims it: a repeat sees it here.
  return query
  select s.id
  from public.therapy_sessions as s
  where s.id = any (release_sessions.sessions)
    and s.processing_status = 'pending'
    and s.processing_claim = any (release_sessions.claims)
  order by s.id;
end
$$;

-- Extend -------------------------------------------------------------------------------------

create or replace function public.extend_lease(
  claims uuid[],
  sessions uuid[],
  lease_seconds integer
)
returns setof uuid
language sql
volatile
security invoker
set search_path = ''
as $$
  with still_held as (
    select s.id
    from public.therapy_sessions as s
    where s.id = any (extend_lease.sessions)
      and s.processing_status = 'processing'
      and s.processing_claim = any (extend_lease.claims)
    order by s.id
    for update
  ),
  extended as (
    update public.therapy_sessions as s
    set processing_due_at = clock_timestamp() + make_interval(secs => extend_lease.lease_seconds)
    from still_held
    where s.id = still_held.id
    returning s.id
  )
  select extended.id from extended order by extended.id
$$;

-- Requeue ------------------------------------------------------------------------------------

create or replace function public.requeue_session(
  session uuid,
  reason text,
  force boolean default false
)
returns text
language plpgsql
security invoker
set search_path = ''
as $$
declare
  status text;
begin
  select s.processing_status into status
  from public.therapy_sessions as s
  where s.id = requeue_session.session
  for update;

  if not found then
    return 'missing';
  elsif status = 'pending' then
    return 'pending';
  elsif status <> 'failed' and not (status = 'completed' and requeue_session.force) then
    return 'refused';
  end if;

  update public.therapy_sessions as s
  set
    processing_status = 'pending',
    processing_attempts = 0,
    processing_due_at = clock_timestamp(),
    processing_claim = null,
    processing_error = concat('requeued: ', requeue_session.reason)
  where s.id = requeue_session.session;

  return 'pending';
end
$$;
