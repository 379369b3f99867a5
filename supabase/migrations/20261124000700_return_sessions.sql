-- Returns a claimed session without completing it, or keeps it for longer.
--
-- Reason: an error is the session's own (it fails, or waits for its next attempt) or Supabase's (it
-- is given back and the attempt does not count). While the work goes on, the lease is extended.
--
-- An owner's trigger may wait for a row that somebody has locked. A call waits a second for the first
-- such row and next to nothing for the others, and leaves them as they are.

set local lock_timeout = '5s';

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
set lock_timeout = '1s'
as $$
declare
  claimed public.therapy_sessions;
  verdict text;
begin
  begin
    select s.* into claimed
    from public.therapy_sessions as s
    where s.id = fail_session.session
    for update nowait;
  exception when lock_not_available then
    return 'locked';
  end;

  if not found or claimed.processing_claim is distinct from fail_session.claim then
    return 'lost';
  elsif claimed.processing_status in ('pending', 'failed') then
    return claimed.processing_status;  -- a repeat
  elsif claimed.processing_status <> 'processing' then
    return 'lost';
  end if;

  verdict := case
    when fail_session.retry_seconds is not null
      and claimed.processing_attempts < fail_session.max_attempts then 'pending'
    else 'failed'
  end;

  begin
    update public.therapy_sessions as s
    set
      processing_status = verdict,
      processing_due_at = case
        when verdict = 'pending'
          then clock_timestamp() + make_interval(secs => greatest(fail_session.retry_seconds, 0))
      end,
      processing_error = concat(fail_session.code, ': ', fail_session.message)
    where s.id = fail_session.session;
    if not found then
      raise exception 'a trigger skips the change' using errcode = 'triggered_action_exception';
    end if;
  exception when assert_failure or others then
    if sqlstate = '55P03' then
      return 'locked';
    elsif public.is_trouble(sqlstate) then
      raise;
    end if;
    perform public.set_aside_session(fail_session.session, sqlstate, sqlerrm);
    return 'set_aside';
  end;

  return verdict;
end
$$;

revoke execute on function public.fail_session(uuid, uuid, text, text, integer, double precision)
  from public, anon, authenticated;
grant execute on function public.fail_session(uuid, uuid, text, text, integer, double precision)
  to service_role;
comment on function public.fail_session(uuid, uuid, text, text, integer, double precision) is
  'Says why a session could not be read. With retry_seconds and attempts left it waits for its next attempt: pending. Otherwise failed. Lost: the session is not processing under this claim; nothing changed. Locked: somebody else has locked its row; nothing changed. Set_aside: the row refuses to be changed.';

create or replace function public.release_sessions(
  claims uuid[],
  sessions uuid[],
  delay_seconds double precision default 0,
  reason text default null
)
returns setof uuid
language plpgsql
security invoker
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  claimed record;
begin
  for claimed in
    select s.id
    from public.therapy_sessions as s
    where s.id = any (release_sessions.sessions)
      and s.processing_status = 'processing'
      and s.processing_claim = any (release_sessions.claims)
    for update skip locked  -- the end of its lease gives back one that somebody else has locked
  loop
    begin
      update public.therapy_sessions as s
      set
        processing_status = 'pending',
        processing_due_at = clock_timestamp()
          + make_interval(secs => greatest(release_sessions.delay_seconds, 0)),
        processing_attempts = greatest(s.processing_attempts - 1, 0),
        processing_error = coalesce(release_sessions.reason, s.processing_error)
      where s.id = claimed.id;
    exception when assert_failure or others then
      if sqlstate = '55P03' then
        perform set_config('lock_timeout', '20ms', true);  -- for the rest of this call
      elsif public.is_trouble(sqlstate) then
        raise;
      else
        perform public.set_aside_session(claimed.id, sqlstate, sqlerrm);
      end if;
    end;
  end loop;

  -- The claim stays on a released session until the next one takes it: a repeat sees it here.
  return query
  select s.id
  from public.therapy_sessions as s
  where s.id = any (release_sessions.sessions)
    and s.processing_status = 'pending'
    and s.processing_claim = any (release_sessions.claims)
  order by s.id;
end
$$;

revoke execute on function public.release_sessions(uuid[], uuid[], double precision, text)
  from public, anon, authenticated;
grant execute on function public.release_sessions(uuid[], uuid[], double precision, text) to service_role;
comment on function public.release_sessions(uuid[], uuid[], double precision, text) is
  'Gives sessions back unharmed: pending, due after delay_seconds, the attempt not counted, with what they wait for. Returns those given back.';

create or replace function public.extend_lease(
  claims uuid[],
  sessions uuid[],
  lease_seconds integer
)
returns table (session uuid, extended boolean)
language plpgsql
security invoker
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  claimed record;
  moved uuid[] := '{}';
begin
  -- Somebody else's lock keeps other claims away as a lease does, so it is passed by. Once it is
  -- gone, the lease is what it was: the caller extends it then.
  for claimed in
    select s.id
    from public.therapy_sessions as s
    where s.id = any (extend_lease.sessions)
      and s.processing_status = 'processing'
      and s.processing_claim = any (extend_lease.claims)
    for update skip locked
  loop
    begin
      update public.therapy_sessions as s
      set processing_due_at = clock_timestamp() + make_interval(secs => extend_lease.lease_seconds)
      where s.id = claimed.id;
      moved := moved || claimed.id;
    exception when assert_failure or others then
      -- A row that refuses keeps its lease as it is; the claim sets it aside when that has ended.
      if sqlstate = '55P03' then
        perform set_config('lock_timeout', '20ms', true);  -- for the rest of this call
      elsif public.is_trouble(sqlstate) then
        raise;
      end if;
    end;
  end loop;

  return query
  select s.id, s.id = any (moved) or s.processing_status <> 'processing'
  from public.therapy_sessions as s
  where s.id = any (extend_lease.sessions)
    and s.processing_claim = any (extend_lease.claims)
  order by s.id;
end
$$;

revoke execute on function public.extend_lease(uuid[], uuid[], integer)
  from public, anon, authenticated;
grant execute on function public.extend_lease(uuid[], uuid[], integer) to service_role;
comment on function public.extend_lease(uuid[], uuid[], integer) is
  'Extends the leases of sessions that are processing to lease_seconds from now. Returns every session still under one of the claims, ended ones too: those left out were taken over by another claim, requeued or deleted. Extended is false where somebody else has locked the row, or it refuses to be changed.';
