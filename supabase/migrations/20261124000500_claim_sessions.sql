-- Gives a worker sessions to read.
--
-- Reason: several workers share one queue, and a file can kill the worker that reads it. So workers
-- pass by what another is claiming instead of waiting for it; of abandoned sessions one comes at a
-- time, beside the others; after max_attempts it fails and kills no more; and a session whose row
-- refuses to be changed is set aside, so that the sessions behind it come all the same.
--
-- An owner's trigger may wait for a row that somebody has locked. Such a session is set aside, too.
-- A call waits a second for the first lock and next to nothing for the others, and after two seconds
-- it takes what it has.
--
-- While any transaction is open, the index keeps an entry of each session that was claimed since, and
-- a claim that begins with the oldest walks through all of them. So each claim says since when the
-- next one has to look, and now and then a worker looks at all.

set local lock_timeout = '5s';

-- An expression of its own, so that no other look takes this index, and this look no other index.
create index if not exists therapy_sessions_claimed on public.therapy_sessions (
  (case when processing_status = 'processing' then processing_claim end)
) where (case when processing_status = 'processing' then processing_claim end) is not null;

create or replace function public.claim_sessions(
  claim uuid,
  batch_size integer,
  lease_seconds integer,
  max_attempts integer,
  with_abandoned boolean default true,
  bucket text default null,
  held uuid[] default '{}',
  waiting_since timestamptz default null,
  abandoned_since timestamptz default null
)
returns table (
  id uuid,
  file_path text,
  object_path text,  -- where it lies in the bucket
  file_hash text,
  hash_measured boolean,  -- by a worker; another program may have written anything
  file_size_bytes bigint,
  original_filename text,
  processing_attempts integer,
  processing_due_at timestamptz,
  abandoned boolean,  -- its last lease ran out: it may be what its worker died of
  next_waiting_since timestamptz,  -- of the last row alone, which is no session
  next_abandoned_since timestamptz
)
language plpgsql
security invoker
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  right_now timestamptz;
  lease_end timestamptz;
  claimed uuid[];
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

  claimed := array(
    select s.id
    from public.therapy_sessions as s
    where case when s.processing_status = 'processing' then s.processing_claim end
      = claim_sessions.claim
  );

  if claimed <> '{}' then  -- the caller counts its lease from this call
    perform public.extend_lease(array[claim_sessions.claim], claimed, claim_sessions.lease_seconds);
  else
    perform public.fail_worn_out(
      right_now, claim_sessions.max_attempts, coalesce(claim_sessions.abandoned_since, '-infinity')
    );
    if claim_sessions.with_abandoned then
      claimed := public.start_abandoned(
        right_now, claim_sessions.max_attempts, claim_sessions.claim, lease_end,
        coalesce(claim_sessions.abandoned_since, '-infinity')
      );
    end if;
    claimed := claimed || public.start_waiting(
      right_now, claim_sessions.batch_size, claim_sessions.claim, lease_end, claim_sessions.held,
      coalesce(claim_sessions.waiting_since, '-infinity')
    );
  end if;

  return query
  select
    s.id,
    s.file_path::text,
    public.object_path_in(claim_sessions.bucket, s.file_path),
    s.file_hash::text,
    s.hash_measured_at is not null,
    s.file_size_bytes::bigint,
    s.original_filename::text,
    s.processing_attempts,
    s.processing_due_at,
    s.processing_abandoned,
    null::timestamptz,
    null::timestamptz
  from public.therapy_sessions as s
  where s.id = any (claimed)
  order by s.created_at, s.id;

  if claim_sessions.waiting_since is not null and claim_sessions.abandoned_since is not null then
    -- Requests commit soon after the moment at which what they write is due. What commits later than
    -- that waits until a worker looks at all.
    select
      least(due.waiting, right_now - interval '2 seconds'),
      least(due.abandoned, right_now - interval '2 seconds')
    into next_waiting_since, next_abandoned_since
    from public.still_due(
      right_now, claim_sessions.waiting_since, claim_sessions.abandoned_since
    ) as due;
    return next;
  end if;
end
$$;

revoke execute on function public.claim_sessions(
  uuid, integer, integer, integer, boolean, text, uuid[], timestamptz, timestamptz
) from public, anon, authenticated;
grant execute on function public.claim_sessions(
  uuid, integer, integer, integer, boolean, text, uuid[], timestamptz, timestamptz
) to service_role;
comment on function public.claim_sessions(
  uuid, integer, integer, integer, boolean, text, uuid[], timestamptz, timestamptz
) is
  'Claims sessions for the caller, those first whose bytes it holds, then the longest due, with a lease of lease_seconds; with_abandoned also one whose worker died. The same claim again gets the same sessions. After max_attempts an abandoned one fails. With waiting_since and abandoned_since it passes by what has been due, or abandoned, for longer than that (-infinity: nothing), and a last row without an id says both for the next call.';

-- Its steps ----------------------------------------------------------------------------------

create or replace function public.start_sessions(
  sessions uuid[],
  claim uuid,
  lease_end timestamptz,
  abandoned boolean
)
returns uuid[]
language plpgsql
security invoker
set search_path = ''
as $$
declare
  started uuid[] := '{}';
  one uuid;
begin
  begin
    with claimed as (
      update public.therapy_sessions as s
      set
        processing_status = 'processing',
        -- While it was set aside its attempts were spent on refusals.
        processing_attempts = case
          when exists (select from public.set_aside as aside where aside.session_id = s.id) then 1
          else least(s.processing_attempts, 2147483646) + 1
        end,
        processing_abandoned = start_sessions.abandoned,
        processing_claim = start_sessions.claim,
        processing_due_at = start_sessions.lease_end
      where s.id = any (start_sessions.sessions)
      returning s.id
    )
    select coalesce(array_agg(claimed.id), '{}') into started from claimed;
    delete from public.set_aside as aside where aside.session_id = any (started);
    perform public.set_aside_session(passed_over.id, '09000', 'a trigger skips the change')
    from unnest(start_sessions.sessions) as passed_over (id)
    where passed_over.id <> all (started);
    return started;
  exception when assert_failure or others then
    if public.is_outage(sqlstate) then
      raise;
    elsif sqlstate = '55P03' then
      perform set_config('lock_timeout', '20ms', true);  -- until claim_sessions returns
    end if;
    if cardinality(start_sessions.sessions) = 1 then
      perform public.set_aside_session(start_sessions.sessions[1], sqlstate, sqlerrm);
      return '{}';
    end if;
  end;

  -- One of them refuses: each alone.
  foreach one in array start_sessions.sessions loop
    started := started || public.start_sessions(
      array[one], start_sessions.claim, start_sessions.lease_end, start_sessions.abandoned
    );
  end loop;
  return started;
end
$$;

revoke execute on function public.start_sessions(uuid[], uuid, timestamptz, boolean)
  from public, anon, authenticated;
grant execute on function public.start_sessions(uuid[], uuid, timestamptz, boolean) to service_role;
comment on function public.start_sessions(uuid[], uuid, timestamptz, boolean) is
  'Makes sessions that the caller has locked processing, and returns them. One whose row refuses is set aside. A step of claim_sessions.';

create or replace function public.start_waiting(
  right_now timestamptz,
  batch_size integer,
  claim uuid,
  lease_end timestamptz,
  held uuid[],
  since timestamptz
)
returns uuid[]
language plpgsql
security invoker
set search_path = ''
as $$
declare
  started uuid[] := '{}';
  waiting uuid[];
  looked_at integer := 0;
begin
  -- Many that refuse may stand at the head; a call sets a bounded number of them aside.
  loop
    waiting := array(
      select s.id
      from public.therapy_sessions as s
      where s.id = any (start_waiting.held)
        and s.processing_status = 'pending'
        and (
          coalesce(s.processing_due_at, '-infinity') <= start_waiting.right_now
          or s.processing_error is null  -- not put off: reserved for the caller
        )
        and not exists (
          select from public.set_aside as aside
          where aside.session_id = s.id and aside.until > start_waiting.right_now
        )
      limit start_waiting.batch_size - cardinality(started)
      for update of s skip locked
    );
    if waiting = '{}' then
      waiting := array(
        select s.id
        from public.therapy_sessions as s
        where s.processing_status = 'pending'
          and coalesce(s.processing_due_at, '-infinity') >= start_waiting.since
          and coalesce(s.processing_due_at, '-infinity') <= start_waiting.right_now
          and not exists (
            select from public.set_aside as aside
            where aside.session_id = s.id and aside.until > start_waiting.right_now
          )
        order by coalesce(s.processing_due_at, '-infinity'), s.created_at
        limit start_waiting.batch_size - cardinality(started)
        for update of s skip locked
      );
    end if;
    exit when waiting = '{}';
    looked_at := looked_at + cardinality(waiting);
    started := started || public.start_sessions(
      waiting, start_waiting.claim, start_waiting.lease_end, abandoned => false
    );
    exit when cardinality(started) = start_waiting.batch_size or looked_at >= 1000
      or clock_timestamp() > start_waiting.right_now + interval '2 seconds';
  end loop;
  return started;
end
$$;

revoke execute on function public.start_waiting(timestamptz, integer, uuid, timestamptz, uuid[], timestamptz)
  from public, anon, authenticated;
grant execute on function public.start_waiting(timestamptz, integer, uuid, timestamptz, uuid[], timestamptz)
  to service_role;
comment on function public.start_waiting(timestamptz, integer, uuid, timestamptz, uuid[], timestamptz) is
  'Claims the pending sessions that the caller holds, then those that have been due for longest, batch_size at most. A step of claim_sessions.';

create or replace function public.start_abandoned(
  right_now timestamptz,
  max_attempts integer,
  claim uuid,
  lease_end timestamptz,
  since timestamptz
)
returns uuid[]
language plpgsql
security invoker
set search_path = ''
as $$
declare
  found_one uuid[];
begin
  found_one := array(
    select s.id
    from public.therapy_sessions as s
    where s.processing_status = 'processing'
      and coalesce(s.processing_due_at, '-infinity') >= start_abandoned.since
      and coalesce(s.processing_due_at, '-infinity') <= start_abandoned.right_now
      and case (
          select aside.until <= start_abandoned.right_now
          from public.set_aside as aside
          where aside.session_id = s.id
        )
        when true then true  -- its attempts were spent on refusals
        when false then false
        else s.processing_attempts < start_abandoned.max_attempts
      end
    order by coalesce(s.processing_due_at, '-infinity')
    limit 1
    for update of s skip locked
  );
  if found_one <> '{}' then
    found_one := public.start_sessions(
      found_one, start_abandoned.claim, start_abandoned.lease_end, abandoned => true
    );
  end if;
  return found_one;
end
$$;

revoke execute on function public.start_abandoned(timestamptz, integer, uuid, timestamptz, timestamptz)
  from public, anon, authenticated;
grant execute on function public.start_abandoned(timestamptz, integer, uuid, timestamptz, timestamptz)
  to service_role;
comment on function public.start_abandoned(timestamptz, integer, uuid, timestamptz, timestamptz) is
  'Claims the session whose lease ran out first: one, or none. A step of claim_sessions.';

create or replace function public.fail_worn_out(
  right_now timestamptz,
  max_attempts integer,
  since timestamptz
)
returns void
language plpgsql
security invoker
set search_path = ''
as $$
declare
  worn_out record;
begin
  for worn_out in
    select s.id
    from public.therapy_sessions as s
    where s.processing_status = 'processing'
      and coalesce(s.processing_due_at, '-infinity') >= fail_worn_out.since
      and coalesce(s.processing_due_at, '-infinity') <= fail_worn_out.right_now
      and s.processing_attempts >= fail_worn_out.max_attempts
      and not exists (  -- start_abandoned takes that one: no worker died of a refusal
        select from public.set_aside as aside where aside.session_id = s.id
      )
    for update of s skip locked
  loop
    begin
      update public.therapy_sessions as s
      set
        processing_status = 'failed',
        processing_due_at = null,
        processing_error = format(
          'worker_died: Its worker stopped while it had this session, after %s attempts.%s Inspect its file offline with `c3d-worker inspect`, then requeue it.',
          s.processing_attempts,
          ' Before that: ' || s.processing_error
        )
      where s.id = worn_out.id;
      if not found then
        raise exception 'a trigger skips the change' using errcode = 'triggered_action_exception';
      end if;
    exception when assert_failure or others then
      if public.is_outage(sqlstate) then
        raise;
      elsif sqlstate = '55P03' then
        perform set_config('lock_timeout', '20ms', true);  -- until claim_sessions returns
      end if;
      perform public.set_aside_session(worn_out.id, sqlstate, sqlerrm);
    end;
    exit when clock_timestamp() > fail_worn_out.right_now + interval '2 seconds';
  end loop;
end
$$;

revoke execute on function public.fail_worn_out(timestamptz, integer, timestamptz)
  from public, anon, authenticated;
grant execute on function public.fail_worn_out(timestamptz, integer, timestamptz) to service_role;
comment on function public.fail_worn_out(timestamptz, integer, timestamptz) is
  'Fails the sessions whose lease ran out in their last attempt. A step of claim_sessions.';

create or replace function public.still_due(
  right_now timestamptz,
  waiting_since timestamptz,
  abandoned_since timestamptz
)
returns table (waiting timestamptz, abandoned timestamptz)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  waiting := (
    select coalesce(s.processing_due_at, '-infinity')
    from public.therapy_sessions as s
    where s.processing_status = 'pending'
      and coalesce(s.processing_due_at, '-infinity') >= still_due.waiting_since
      and coalesce(s.processing_due_at, '-infinity') <= still_due.right_now
      and not exists (
        select from public.set_aside as aside
        where aside.session_id = s.id and aside.until > still_due.right_now
      )
    order by coalesce(s.processing_due_at, '-infinity'), s.created_at
    limit 1
  );
  abandoned := (
    select coalesce(s.processing_due_at, '-infinity')
    from public.therapy_sessions as s
    where s.processing_status = 'processing'
      and coalesce(s.processing_due_at, '-infinity') >= still_due.abandoned_since
      and coalesce(s.processing_due_at, '-infinity') <= still_due.right_now
      and not exists (
        select from public.set_aside as aside
        where aside.session_id = s.id and aside.until > still_due.right_now
      )
    order by coalesce(s.processing_due_at, '-infinity'), s.created_at
    limit 1
  );
  return next;
end
$$;

revoke execute on function public.still_due(timestamptz, timestamptz, timestamptz)
  from public, anon, authenticated;
grant execute on function public.still_due(timestamptz, timestamptz, timestamptz) to service_role;
comment on function public.still_due(timestamptz, timestamptz, timestamptz) is
  'Since when sessions have been waiting, or abandoned, that nobody has claimed and that are not set aside, among those due since the times given. Empty: there are none.';
