-- Completes sessions: the technical row and the status, both or neither.
--
-- Reason: whoever sees a completed session finds its technical row. With a backlog a call for each
-- session costs more than reading its recording, so several are completed in one call, each with an
-- answer of its own.

set local lock_timeout = '5s';

-- The technical row --------------------------------------------------------------------------
-- A new technical column is added to the table and to this list, and to nothing else here.

create or replace function public.technical_columns()
returns text[]
language sql
immutable
security invoker
set search_path = ''
as $$
  select array[
    'original_sampling_rate', 'original_duration_seconds', 'original_sample_count',
    'channel_count', 'channel_names', 'sampling_rate', 'duration_seconds', 'frame_count'
  ]
$$;

revoke execute on function public.technical_columns() from public, anon, authenticated;
grant execute on function public.technical_columns() to service_role;
comment on function public.technical_columns() is
  'The columns of c3d_technical_data that a recording fills, NULL where it does not say the value.';

create or replace function public.write_technical_row(session uuid, technical jsonb)
returns void
language plpgsql
security invoker
set search_path = ''
as $$
begin
  execute format(
    'insert into public.c3d_technical_data (session_id, extracted_at, %1$s)
     select $1, now(), %1$s from jsonb_populate_record(null::public.c3d_technical_data, $2)
     on conflict (session_id) do update
     set (extracted_at, %1$s) = row (excluded.extracted_at, excluded.%2$s)',
    array_to_string(public.technical_columns(), ', '),
    array_to_string(public.technical_columns(), ', excluded.')
  )
  using write_technical_row.session, write_technical_row.technical;
end
$$;

revoke execute on function public.write_technical_row(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.write_technical_row(uuid, jsonb) to service_role;
comment on function public.write_technical_row(uuid, jsonb) is
  'Writes what a recording says, in place of what an earlier reading wrote. A step of complete_session.';

-- One session --------------------------------------------------------------------------------

create or replace function public.check_completion(
  technical jsonb,
  content_hash text,
  game jsonb,
  statistics jsonb
)
returns void
language plpgsql
security invoker
set search_path = ''
as $$
declare
  fault text;
begin
  fault := case
    when jsonb_typeof(check_completion.technical) is distinct from 'object'
      or check_completion.technical - public.technical_columns() <> '{}'
      then 'technical must be an object whose keys are technical columns of c3d_technical_data.'
    when check_completion.content_hash is null
      or check_completion.content_hash !~ '^[0-9a-f]{64}$'
      then 'content_hash must be a SHA-256 in 64 lower-case hex digits.'
    when jsonb_typeof(check_completion.game) <> 'object' then 'game must be an object.'
    when octet_length(check_completion.statistics::text) > 65536
      then 'statistics must be 64 KB at most.'
  end;
  if fault is not null then
    raise exception '%', fault using errcode = 'invalid_parameter_value';
  end if;
end
$$;

revoke execute on function public.check_completion(jsonb, text, jsonb, jsonb)
  from public, anon, authenticated;
grant execute on function public.check_completion(jsonb, text, jsonb, jsonb) to service_role;
comment on function public.check_completion(jsonb, text, jsonb, jsonb) is
  'Refuses arguments that no session can be completed with. A step of complete_session.';

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
  claimed public.therapy_sessions;
  right_hash text;
  kept jsonb := jsonb_build_object('channel_statistics', complete_session.statistics);
  twin uuid;
begin
  perform public.check_completion(
    complete_session.technical, complete_session.content_hash,
    complete_session.game, complete_session.statistics
  );

  select s.* into claimed
  from public.therapy_sessions as s
  where s.id = complete_session.session
  for update;

  if not found or claimed.processing_claim is distinct from complete_session.claim then
    return 'lost';
  elsif claimed.processing_status = 'completed' then
    return 'completed';
  elsif claimed.processing_status = 'failed'
    and claimed.processing_error like 'duplicate\_content: %'
  then
    return 'duplicate';
  elsif claimed.processing_status <> 'processing' then
    return 'lost';
  end if;

  -- The old system hashed path and size. Such a text gives way to the measured SHA-256.
  right_hash := case
    when claimed.file_hash ~ '^[0-9a-f]{64}$' then claimed.file_hash
    else complete_session.content_hash
  end;

  begin
    update public.therapy_sessions as s
    set
      processing_status = 'completed',
      processing_due_at = null,
      processing_error = null,
      file_hash = right_hash,
      game_metadata = case jsonb_typeof(coalesce(s.game_metadata, 'null'))
        when 'null' then coalesce(complete_session.game, '{}')
        when 'object'
          then coalesce(complete_session.game, '{}') || s.game_metadata  -- what others set stays
        else s.game_metadata
      end,
      analytics_cache = case  -- other keys are other programs' results
        when complete_session.statistics is null then s.analytics_cache
        when jsonb_typeof(s.analytics_cache) = 'object' then s.analytics_cache || kept
        else kept
      end
    where s.id = complete_session.session;
  exception when unique_violation then
    select s.id into twin
    from public.therapy_sessions as s
    where s.file_hash = right_hash
      and s.id <> complete_session.session;
    if twin is null then
      raise;  -- of a unique rule of the project's own
    end if;

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
  end;

  perform public.write_technical_row(complete_session.session, complete_session.technical);
  return 'completed';
end
$$;

revoke execute on function public.complete_session(uuid, uuid, jsonb, text, jsonb, jsonb)
  from public, anon, authenticated;
grant execute on function public.complete_session(uuid, uuid, jsonb, text, jsonb, jsonb)
  to service_role;
comment on function public.complete_session(uuid, uuid, jsonb, text, jsonb, jsonb) is
  'Writes the technical row and completes the session, both or neither. Says completed, duplicate (another session holds this very recording) or lost (the session is not processing under this claim; nothing changed).';

-- Several sessions ---------------------------------------------------------------------------

create or replace function public.complete_sessions(completions jsonb)
returns table (session uuid, outcome text, refusal text)
language plpgsql
security invoker
set search_path = ''
as $$
declare
  given jsonb;
  mode text;
begin
  -- Always in the same order, so that two calls for the same sessions wait, and never deadlock.
  for given in
    select each.value
    from jsonb_array_elements(complete_sessions.completions) as each
    order by each.value ->> 'session'
  loop
    session := (given ->> 'session')::uuid;
    refusal := null;
    mode := case when given ->> 'content_hash' is null then 'header' end;
    begin
      outcome := public.complete_session(
        complete_sessions.session,
        (given ->> 'claim')::uuid,
        given -> 'technical',
        coalesce(given ->> 'content_hash', (
          select s.file_hash from public.therapy_sessions as s where s.id = complete_sessions.session
        )),
        given -> 'game',
        nullif(given -> 'statistics', 'null')
      );
      if outcome = 'completed' then
        update public.therapy_sessions as s
        set read_mode = mode
        where s.id = complete_sessions.session and s.read_mode is distinct from mode;
      end if;
    exception when data_exception or integrity_constraint_violation then
      outcome := 'rejected';
      refusal := format('%s (%s)', rtrim(sqlerrm, '.'), sqlstate);
    end;
    return next;
  end loop;
end
$$;

revoke execute on function public.complete_sessions(jsonb) from public, anon, authenticated;
grant execute on function public.complete_sessions(jsonb) to service_role;
comment on function public.complete_sessions(jsonb) is
  'Completes several sessions, each as complete_session does: an array of objects with its arguments. Without content_hash it is noted that the content was not compared. Outcome: completed, duplicate, lost, or rejected, and then refusal says why.';
