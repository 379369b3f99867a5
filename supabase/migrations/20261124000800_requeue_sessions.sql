-- Has sessions read again because a person wants it: one session, or all of a kind.
--
-- Reason: after a cure thousands of sessions may be due again, and over the API a call for each is
-- slow. One call goes through the sessions in the order of their ids and stops after batch_size, so
-- that it stays within the API's time limit; the caller goes on after the last id. So it meets each
-- session once, even if a worker fails that session again meanwhile.

set local lock_timeout = '5s';

create index if not exists therapy_sessions_failed on public.therapy_sessions (id)
  where processing_status = 'failed';
create index if not exists therapy_sessions_migrated on public.therapy_sessions (id)
  where processing_status = 'completed' and hash_measured_at is null;

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
  begin
    select s.processing_status into status
    from public.therapy_sessions as s
    where s.id = requeue_session.session
    for update nowait;
  exception when lock_not_available then
    return 'locked';
  end;

  if not found then
    return 'missing';
  end if;
  -- Whoever asks for it has corrected what refused: it is not passed by any longer.
  delete from public.set_aside as aside where aside.session_id = requeue_session.session;

  if status = 'pending' then
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
    processing_queued_at = clock_timestamp(),
    processing_error = concat('requeued: ', requeue_session.reason)
  where s.id = requeue_session.session;

  return 'pending';
end
$$;

revoke execute on function public.requeue_session(uuid, text, boolean)
  from public, anon, authenticated;
grant execute on function public.requeue_session(uuid, text, boolean) to service_role;
comment on function public.requeue_session(uuid, text, boolean) is
  'Has a failed session read again from the start, with force a completed one too. Says pending, refused (another state), missing, or locked (by somebody else; nothing changed).';

create or replace function public.requeue_sessions(
  which text,
  reason text,
  code text default null,
  after_session uuid default null,
  batch_size integer default 1000,
  dry_run boolean default false
)
returns table (requeued bigint, last_session uuid)
language plpgsql
security invoker
set search_path = ''
set plan_cache_mode = 'force_custom_plan'  -- the first call has no id to go on after
as $$
declare
  to_requeue uuid[];
  one uuid;
begin
  if coalesce(requeue_sessions.which, '') not in ('failed', 'migrated')
    or requeue_sessions.batch_size < 1
  then
    raise exception 'requeue_sessions needs failed or migrated, and a batch_size of 1 or more.'
      using errcode = 'invalid_parameter_value';
  end if;

  -- Each kind has its own statement, which its own index serves.
  if requeue_sessions.which = 'failed' then
    to_requeue := array(
      select s.id
      from public.therapy_sessions as s
      where s.processing_status = 'failed'
        and (requeue_sessions.after_session is null or s.id > requeue_sessions.after_session)
        and (
          requeue_sessions.code is null
          or requeue_sessions.code
            = coalesce(substring(s.processing_error from '^([a-z0-9_]+): '), 'unknown')
        )
      order by s.id
      limit requeue_sessions.batch_size
      for update skip locked  -- one that somebody else has locked is left as it is
    );
  else
    -- The values of the old system stay in c3d_technical_data until measured ones take their place: a
    -- session that cannot be read fails, and keeps them.
    to_requeue := array(
      select s.id
      from public.therapy_sessions as s
      where s.processing_status = 'completed'
        and s.hash_measured_at is null  -- no worker has read it
        and (requeue_sessions.after_session is null or s.id > requeue_sessions.after_session)
        and (s.file_path ilike '%.c3d' or s.original_filename ilike '%.c3d')
        and exists (select from public.c3d_technical_data as t where t.session_id = s.id)
      order by s.id
      limit requeue_sessions.batch_size
      for update skip locked
    );
  end if;

  last_session := to_requeue[cardinality(to_requeue)];
  requeued := 0;
  foreach one in array to_requeue loop
    -- Its path holds another recording by now, which was read: what this one failed with would be
    -- lost, and it would end as size_mismatch.
    continue when requeue_sessions.which = 'failed' and exists (
      select
      from public.therapy_sessions as s
      join public.therapy_sessions as later on later.file_path = s.file_path
      where s.id = one
        and later.processing_status = 'completed'
        and later.created_at > s.created_at
    );
    begin
      if not requeue_sessions.dry_run then
        perform public.requeue_session(one, requeue_sessions.reason, force => true);
      end if;
      requeued := requeued + 1;
    exception when assert_failure or others then
      -- A row that refuses to be changed stays as it is, and keeps back no other.
      if public.is_trouble(sqlstate) then
        raise;
      end if;
    end;
  end loop;
  return next;
end
$$;

revoke execute on function public.requeue_sessions(text, text, text, uuid, integer, boolean)
  from public, anon, authenticated;
grant execute on function public.requeue_sessions(text, text, text, uuid, integer, boolean)
  to service_role;
comment on function public.requeue_sessions(text, text, text, uuid, integer, boolean) is
  'Has the failed sessions (of a code) or the migrated ones read again: batch_size of them after after_session, in the order of their ids. Says how many, and the last id: go on after it until there is none. With dry_run it only counts. A failed session that a later upload to its path superseded is left as it is.';
