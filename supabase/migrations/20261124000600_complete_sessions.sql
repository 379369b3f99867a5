-- Completes sessions: the technical row and the status, both or neither.
--
-- Reason: whoever sees a completed session finds its technical row. With a backlog a call for each
-- session costs more than reading its recording, so several are completed in one call, each with an
-- answer of its own: values that the table refuses, a row that refuses to be changed, and a row that
-- somebody else has locked cost no other session.

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

create or replace function public.differing_values(session uuid, technical jsonb)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select string_agg(format(' %s was %s.', before.key, before.value), '' order by before.key)
  from public.c3d_technical_data as t
  cross join jsonb_each(to_jsonb(t)) as before
  cross join jsonb_each(
    to_jsonb(jsonb_populate_record(null::public.c3d_technical_data, differing_values.technical))
  ) as found
  where t.session_id = differing_values.session
    and before.key = any (public.technical_columns())
    and before.key = found.key
    and before.value <> 'null'
    and before.value <> found.value
$$;

revoke execute on function public.differing_values(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.differing_values(uuid, jsonb) to service_role;
comment on function public.differing_values(uuid, jsonb) is
  'The values of the session''s technical row that the recording says otherwise, in words; empty: none. A step of complete_session.';

-- One session --------------------------------------------------------------------------------

create or replace function public.fault_of_completion(
  technical jsonb,
  content_hash text,
  game jsonb,
  statistics jsonb
)
returns text
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if jsonb_typeof(fault_of_completion.technical) is distinct from 'object'
    or fault_of_completion.technical - public.technical_columns() <> '{}'
  then
    return 'technical must be an object whose keys are technical columns of c3d_technical_data';
  elsif fault_of_completion.content_hash is null
    or fault_of_completion.content_hash !~ '^[0-9a-f]{64}$'
  then
    return 'content_hash must be a SHA-256 in 64 lower-case hex digits';
  elsif jsonb_typeof(fault_of_completion.game) <> 'object' then
    return 'game must be an object';
  elsif octet_length(fault_of_completion.statistics::text) > 65536 then
    return 'statistics must be 64 KB at most';
  end if;

  perform jsonb_populate_record(null::public.c3d_technical_data, fault_of_completion.technical);
  return null;
exception when data_exception or integrity_constraint_violation then
  return format('%s (%s)', rtrim(sqlerrm, '.'), sqlstate);
end
$$;

revoke execute on function public.fault_of_completion(jsonb, text, jsonb, jsonb)
  from public, anon, authenticated;
grant execute on function public.fault_of_completion(jsonb, text, jsonb, jsonb) to service_role;
comment on function public.fault_of_completion(jsonb, text, jsonb, jsonb) is
  'Why no session can be completed with these values, whatever its row; empty: they fit. A step of complete_session.';

create or replace function public.complete_session(
  session uuid,
  claim uuid,
  technical jsonb,
  content_hash text,
  game jsonb default '{}',
  statistics jsonb default null,
  version text default null
)
returns text
language plpgsql
security invoker
set search_path = ''
as $$
declare
  fault text := public.fault_of_completion(
    complete_session.technical, complete_session.content_hash,
    complete_session.game, complete_session.statistics
  );
  claimed public.therapy_sessions;
  right_hash text;
  replaced text;  -- NULL: nothing, and then no error either
  kept jsonb := jsonb_build_object('channel_statistics', complete_session.statistics);
  twin uuid;
begin
  if fault is not null then
    raise exception '%.', fault using errcode = 'invalid_parameter_value';
  end if;

  begin
    select s.* into claimed
    from public.therapy_sessions as s
    where s.id = complete_session.session
    for update nowait;
  exception when lock_not_available then
    return 'locked';
  end;

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

  -- A hash that no worker has measured gives way to the measured one, and says so if it looked as
  -- if it were that of a content.
  right_hash := case
    when claimed.hash_measured_at is null then complete_session.content_hash
    else claimed.file_hash
  end;
  if right_hash <> claimed.file_hash
    and claimed.file_hash ~ '^[0-9a-f]{64}$'
    and not public.is_path_hash(claimed.file_hash, claimed.file_path, claimed.file_size_bytes)
  then
    replaced := format(' file_hash was %s.', claimed.file_hash);
  end if;
  if claimed.hash_measured_at is null then  -- nor has one read the file
    replaced := nullif(concat(
      replaced, public.differing_values(complete_session.session, complete_session.technical)
    ), '');
  end if;

  begin
    update public.therapy_sessions as s
    set
      processing_status = 'completed',
      processing_due_at = null,
      processing_error = 'replaced: What another program had written was not what the file says.' || replaced,
      read_by_version = complete_session.version,
      file_hash = right_hash,
      hash_measured_at = coalesce(s.hash_measured_at, clock_timestamp()),
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
    if not found then
      raise exception 'a trigger skips the change' using errcode = 'triggered_action_exception';
    end if;
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

revoke execute on function public.complete_session(uuid, uuid, jsonb, text, jsonb, jsonb, text)
  from public, anon, authenticated;
grant execute on function public.complete_session(uuid, uuid, jsonb, text, jsonb, jsonb, text)
  to service_role;
comment on function public.complete_session(uuid, uuid, jsonb, text, jsonb, jsonb, text) is
  'Writes the technical row and completes the session, both or neither. Says completed, duplicate (another session holds this very recording), locked (by somebody else; nothing changed) or lost (the session is not processing under this claim; nothing changed).';

-- Several sessions ---------------------------------------------------------------------------

create or replace function public.complete_sessions(completions jsonb)
returns table (session uuid, outcome text, refusal text)
language plpgsql
security invoker
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  given jsonb;
  hash text;
  kept jsonb;
  mode text;
begin
  -- Always in the same order, so that two calls for the same sessions wait, and never deadlock.
  for given in
    select each.value
    from jsonb_array_elements(complete_sessions.completions) as each
    order by each.value ->> 'session'
  loop
    session := (given ->> 'session')::uuid;
    mode := case when given ->> 'content_hash' is null then 'header' end;
    hash := coalesce(given ->> 'content_hash', (
      select s.file_hash from public.therapy_sessions as s where s.id = complete_sessions.session
    ));
    kept := nullif(given -> 'statistics', 'null');
    refusal := public.fault_of_completion(given -> 'technical', hash, given -> 'game', kept);
    begin
      outcome := case
        when refusal is not null then 'rejected'
        else public.complete_session(
          complete_sessions.session, (given ->> 'claim')::uuid,
          given -> 'technical', hash, given -> 'game', kept, given ->> 'version'
        )
      end;
      if outcome = 'completed' then
        update public.therapy_sessions as s
        set read_mode = mode
        where s.id = complete_sessions.session and s.read_mode is distinct from mode;
        if given ->> 'preview_after_seconds' is not null then
          begin
            perform public.want_preview(
              complete_sessions.session, (given ->> 'preview_after_seconds')::double precision
            );
          exception when assert_failure or others then  -- no picture is worth a session
            raise warning 'complete_sessions: SQLSTATE %, so the session gets no picture.', sqlstate;
          end;
        end if;
      end if;
    exception
      when lock_not_available then
        outcome := 'locked';
        perform set_config('lock_timeout', '20ms', true);  -- for the rest of this call
      when assert_failure or others then
        if public.is_trouble(sqlstate) then
          raise;
        end if;
        outcome := 'refused';
        refusal := format('%s (%s)', rtrim(sqlerrm, '.'), sqlstate);
    end;
    return next;
  end loop;
end
$$;

revoke execute on function public.complete_sessions(jsonb) from public, anon, authenticated;
grant execute on function public.complete_sessions(jsonb) to service_role;
comment on function public.complete_sessions(jsonb) is
  'Completes several sessions, each as complete_session does: an array of objects with its arguments. Without content_hash it is noted that the content was not compared. With preview_after_seconds it is noted that the session shall have a picture. Outcome: completed, duplicate, lost, locked (by somebody else: nothing changed), or rejected (the values) or refused (by a rule of the row), and then refusal says why.';
