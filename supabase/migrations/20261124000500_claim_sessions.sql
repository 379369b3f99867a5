-- Gives a worker sessions to read.
--
-- Reason: several workers share one queue, and a file can kill the worker that reads it. So workers
-- pass by what another is claiming instead of waiting for it; a session that was abandoned comes
-- alone, and so spends no attempt of another; and after max_attempts it fails and kills no more.

set local lock_timeout = '5s';

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
  lease_end timestamptz;
  claimed uuid[];
  was_abandoned boolean;
begin
  if claim_sessions.claim is null or claim_sessions.batch_size < 1
    or claim_sessions.lease_seconds < 1 or claim_sessions.max_attempts < 1
  then
    raise exception 'claim_sessions needs a claim, and batch_size, lease_seconds and max_attempts of 1 or more.'
      using errcode = 'invalid_parameter_value';
  end if;

  -- A repeat of this very call waits here until the first is done, then gets the first's sessions.
  perform pg_advisory_xact_lock(hashtextextended('claim_sessions ' || claim_sessions.claim::text, 0));
  right_now := clock_timestamp();
  lease_end := right_now + make_interval(secs => claim_sessions.lease_seconds);

  -- One that came alone after an earlier attempt may have been abandoned.
  select array_agg(s.id), count(*) = 1 and min(s.processing_attempts) > 1
  into claimed, was_abandoned
  from public.therapy_sessions as s
  where s.processing_status = 'processing'
    and s.processing_claim = claim_sessions.claim;

  if claimed is not null then
    update public.therapy_sessions as s
    set processing_due_at = lease_end  -- the caller counts its lease from this call
    where s.id = any (claimed);
  else
    perform public.fail_worn_out(right_now, claim_sessions.max_attempts);
    claimed := public.lock_abandoned(right_now, claim_sessions.max_attempts);
    was_abandoned := claimed is not null;
    if not was_abandoned then
      claimed := public.lock_waiting(right_now, claim_sessions.batch_size);
    end if;

    update public.therapy_sessions as s
    set
      processing_status = 'processing',
      processing_attempts = s.processing_attempts + 1,
      processing_claim = claim_sessions.claim,
      processing_due_at = lease_end
    where s.id = any (claimed);
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
  where s.id = any (claimed)
  order by s.created_at, s.id;
end
$$;

revoke execute on function public.claim_sessions(uuid, integer, integer, integer)
  from public, anon, authenticated;
grant execute on function public.claim_sessions(uuid, integer, integer, integer) to service_role;
comment on function public.claim_sessions(uuid, integer, integer, integer) is
  'Claims sessions for the caller, the longest due first, with a lease of lease_seconds. The same claim again gets the same sessions. One whose worker died comes alone; after max_attempts it fails.';

-- Its steps ----------------------------------------------------------------------------------

create or replace function public.fail_worn_out(right_now timestamptz, max_attempts integer)
returns void
language plpgsql
security invoker
set search_path = ''
as $$
begin
  with worn_out as (
    select s.id
    from public.therapy_sessions as s
    where s.processing_status = 'processing'
      and coalesce(s.processing_due_at, '-infinity') <= fail_worn_out.right_now
      and s.processing_attempts >= fail_worn_out.max_attempts
    for update skip locked
  )
  update public.therapy_sessions as s
  set
    processing_status = 'failed',
    processing_due_at = null,
    processing_error = format(
      'worker_died: Its worker stopped while it had this session, after %s attempts.%s Inspect its file offline with `c3d-worker inspect`, then requeue it.',
      s.processing_attempts,
      ' Before that: ' || s.processing_error
    )
  from worn_out
  where s.id = worn_out.id;
end
$$;

revoke execute on function public.fail_worn_out(timestamptz, integer)
  from public, anon, authenticated;
grant execute on function public.fail_worn_out(timestamptz, integer) to service_role;
comment on function public.fail_worn_out(timestamptz, integer) is
  'Fails the sessions whose lease ran out in their last attempt. A step of claim_sessions.';

-- Abandoned and pending sessions take turns by how long they have been due, so that neither kind
-- delays the other.

create or replace function public.lock_abandoned(right_now timestamptz, max_attempts integer)
returns uuid[]
language plpgsql
security invoker
set search_path = ''
as $$
declare
  longest_waiting timestamptz;
  abandoned uuid[];
begin
  select coalesce(s.processing_due_at, '-infinity') into longest_waiting
  from public.therapy_sessions as s
  where s.processing_status = 'pending'
    and coalesce(s.processing_due_at, '-infinity') <= lock_abandoned.right_now
  order by coalesce(s.processing_due_at, '-infinity')
  limit 1
  for update skip locked;  -- one that another call has locked does not wait any more

  select array[s.id] into abandoned
  from public.therapy_sessions as s
  where s.processing_status = 'processing'
    and coalesce(s.processing_due_at, '-infinity')
      <= least(lock_abandoned.right_now, longest_waiting)
    and s.processing_attempts < lock_abandoned.max_attempts
  order by coalesce(s.processing_due_at, '-infinity')
  limit 1
  for update skip locked;

  return abandoned;
end
$$;

revoke execute on function public.lock_abandoned(timestamptz, integer)
  from public, anon, authenticated;
grant execute on function public.lock_abandoned(timestamptz, integer) to service_role;
comment on function public.lock_abandoned(timestamptz, integer) is
  'Locks the session whose lease ran out first, unless a pending one has been due for longer. A step of claim_sessions.';

create or replace function public.lock_waiting(right_now timestamptz, batch_size integer)
returns uuid[]
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return array(
    select s.id
    from public.therapy_sessions as s
    where s.processing_status = 'pending'
      and coalesce(s.processing_due_at, '-infinity') <= lock_waiting.right_now
    order by coalesce(s.processing_due_at, '-infinity'), s.created_at
    limit lock_waiting.batch_size
    for update skip locked
  );
end
$$;

revoke execute on function public.lock_waiting(timestamptz, integer)
  from public, anon, authenticated;
grant execute on function public.lock_waiting(timestamptz, integer) to service_role;
comment on function public.lock_waiting(timestamptz, integer) is
  'Locks the pending sessions that have been due for longest, batch_size at most. A step of claim_sessions.';
