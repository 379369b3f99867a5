-- An upload that was downloaded and hashed comes to its end: a session is made, or the one that
-- holds its content is found.
--
-- Reason: everything about it is one transaction, so no reply that gets lost leaves half of it
-- behind, and an upload that was overwritten or deleted meanwhile makes no session.

set local lock_timeout = '5s';

-- End ----------------------------------------------------------------------------------------

create or replace function public.finish_object(
  object uuid,
  version text,
  claim uuid,
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
  upload public.storage_intake;
begin
  select i.* into upload
  from public.storage_intake as i
  where i.object_id = finish_object.object and i.version = finish_object.version
  for update;

  if not found or upload.claim is distinct from finish_object.claim or upload.outcome = 'waiting' then
    return 'lost';
  elsif upload.outcome <> 'taking' then
    return upload.outcome;  -- said already
  end if;

  update public.storage_intake as i
  set
    outcome = finish_object.outcome,
    session_id = finish_object.session,
    detail = finish_object.detail,
    due_at = null,
    taken_at = clock_timestamp()
  where i.object_id = finish_object.object and i.version = finish_object.version;
  return finish_object.outcome;
end
$$;

revoke execute on function public.finish_object(uuid, text, uuid, text, uuid, text) from public, anon, authenticated;
grant execute on function public.finish_object(uuid, text, uuid, text, uuid, text) to service_role;
comment on function public.finish_object(uuid, text, uuid, text, uuid, text) is
  'Ends an upload, once: the first outcome stays and is returned. Lost: it is not being taken in under this claim; nothing changed.';

-- Take ---------------------------------------------------------------------------------------

create or replace function public.take_object(
  object uuid,
  version text,
  claim uuid,
  file_hash text,
  size_bytes bigint,
  patient text default null,
  recording boolean default true,
  path_before text default null,
  patient_before text default null,
  reserved_seconds double precision default 0
)
returns table (
  outcome text,
  session_id uuid,
  requeued boolean,
  patient_changed boolean,
  moved_from text,  -- call again with this path, and the patient that it names
  code text,  -- why it has to wait: as create_session says it, or row_refused
  reason text,
  said text
)
language plpgsql
security invoker
set search_path = ''
set lock_timeout = '1s'  -- a row that somebody else has locked costs this upload a retry
as $$
declare
  upload public.storage_intake;
  known record;
  is_own boolean;
  is_move boolean;
  was_at text;
  made record;
  relinked record;
  detail text;
  state text;
  message text;
  relation text;
  refused_column text;
  rule text;
  context text;
begin
  set constraints all immediate;  -- what a rule refuses at the end could not be told any more

  select i.* into upload
  from public.storage_intake as i
  where i.object_id = take_object.object and i.version = take_object.version
  for update;

  requeued := false;
  patient_changed := false;
  if not found or upload.claim is distinct from take_object.claim or upload.outcome = 'waiting' then
    outcome := 'lost';
  elsif upload.outcome <> 'taking' then
    outcome := upload.outcome;  -- said already
    session_id := upload.session_id;
  elsif not public.is_current(upload.object_id, upload.version) then
    outcome := public.end_of_object(upload.object_id);
  else
    -- Locked, so that nobody deletes it while it is written down; one that is deleted is not it.
    loop
      select * into known from public.find_session(take_object.file_hash, upload.object_path, upload.bucket_id);
      exit when not found;
      perform from public.therapy_sessions as s where s.id = known.session_id for no key update;
      exit when found;
    end loop;
    if known.session_id is null then
      select * into made
      from public.create_session(
        upload.object_path,
        take_object.file_hash,
        take_object.size_bytes,
        regexp_replace(upload.object_path, '^.*/', ''),
        take_object.patient,
        case when take_object.recording then 'pending' else 'skipped' end,
        measured => true,
        reserved_seconds => take_object.reserved_seconds
      );
      if made.code is not null then
        outcome := 'waiting';
        code := made.code;
        reason := made.reason;
        said := made.said;
        return next;
        return;
      end if;
      session_id := made.session_id;
      outcome := case
        when not made.created then 'duplicate'  -- another upload of the same bytes was faster
        when take_object.recording then 'session'
        else 'skipped'
      end;
    else
      session_id := known.session_id;
      -- Its own session, made by hand, or by a worker that could not say so any more.
      outcome := case
        when known.session_path = upload.object_path and not known.taken_in then 'session'
        else 'duplicate'
      end;
      if known.session_path <> upload.object_path or known.status in ('failed', 'skipped') then
        -- The same object under another name, not another upload of the same bytes.
        select
          bool_or(i.outcome in ('session', 'skipped')),
          (array_agg(i.object_path order by i.taken_at desc))[1]
        into is_own, was_at
        from public.storage_intake as i
        where i.session_id = known.session_id and i.object_id = upload.object_id;
        is_move := is_own is not null or not exists (
          select from public.storage_intake as i where i.session_id = known.session_id
        );
        was_at := case when is_own then was_at else known.session_path end;
        if is_move
          and was_at <> upload.object_path
          and was_at is distinct from take_object.path_before
          and (is_own or not public.has_object(upload.bucket_id, was_at))
        then
          outcome := 'taking';  -- only the caller can tell the patient of a path
          moved_from := was_at;
          return next;
          return;
        end if;
        begin
          select * into relinked
          from public.relink_session(
            known.session_id, upload.bucket_id, upload.object_path, take_object.size_bytes,
            take_object.patient_before, case when is_move then take_object.patient end,
            coalesce(is_own, false)
          );
          requeued := relinked.result = 'requeued';
          patient_changed := relinked.patient_changed;
          detail := case
            when patient_changed then 'moved: The recording was moved here, and its session has the patient of this folder now.'
            when relinked.result = 'relinked' and is_move then 'moved: The recording was moved here.'
          end;
        exception when assert_failure or others then
          get stacked diagnostics
            state = returned_sqlstate,
            message = message_text,
            relation = table_name,
            refused_column = column_name,
            rule = constraint_name,
            context = pg_exception_context;
          if public.is_trouble(state) then
            raise;
          end if;
          outcome := 'waiting';
          code := 'row_refused';
          reason := format(
            'Session %s holds this content and does not let itself be changed. %s',
            session_id, public.explain_refusal(state, relation, refused_column, rule, context)
          );
          said := format('%s (%s)', rtrim(message, '.'), state);
          session_id := null;
          return next;
          return;
        end;
      end if;
    end if;
    if outcome = 'duplicate' then
      begin
        perform public.count_cache_hit(session_id);
      exception when assert_failure or others then
        if public.is_trouble(sqlstate) then
          raise;
        end if;
        -- A rule of the table refuses to count: a hit is not worth an upload.
      end;
    end if;
  end if;

  if outcome = 'duplicate' then
    detail := coalesce(detail, (
      select format(
        'other_patient: Session %s holds the same bytes and %s, but this path names %s. Delete this object, or correct the session''s patient_id and retake the upload.',
        session_id,
        case when whose.patient is null then 'has no patient' else format('is of patient %s', whose.patient) end,
        take_object.patient
      )
      from public.whose_session(session_id, take_object.patient) as whose
      where whose.is_another
    ));
  end if;

  outcome := case
    when outcome = 'lost' then outcome
    else public.finish_object(
      take_object.object, take_object.version, take_object.claim, outcome, session_id, detail
    )
  end;
  return next;
end
$$;

revoke execute on function public.take_object(uuid, text, uuid, text, bigint, text, boolean, text, text, double precision) from public, anon, authenticated;
grant execute on function public.take_object(uuid, text, uuid, text, bigint, text, boolean, text, text, double precision) to service_role;
comment on function public.take_object(uuid, text, uuid, text, bigint, text, boolean, text, text, double precision) is
  'Gives an upload that was hashed its session, new or known, and ends it, all or nothing. Waiting: the table takes no session (code, reason and said are those of create_session), or a rule refuses to change the one that holds its content (row_refused). Lost: it is not being taken in under this claim. Taking: nothing was changed; it was moved from moved_from, whose patient the caller has to tell.';

-- Several at once, as they are hashed: one call and one transaction for each would cost more than
-- their work. By their hashes, so that two workers mostly lock the same sessions in one order.

create or replace function public.take_objects(takes jsonb)
returns table (
  object uuid,
  outcome text,
  session_id uuid,
  requeued boolean,
  patient_changed boolean,
  moved_from text,
  code text,
  reason text,
  said text
)
language sql
volatile
security invoker
set search_path = ''
as $$
  select take.object, taken.*
  from (
    select each.*
    from rows from (
      jsonb_to_recordset(take_objects.takes) as (
        object uuid, version text, claim uuid, file_hash text, size_bytes bigint, patient text,
        recording boolean, path_before text, patient_before text, reserved_seconds double precision
      )
    ) with ordinality as each
    order by each.file_hash, each.ordinality
  ) as take
  cross join lateral public.take_object(
    take.object, take.version, take.claim, take.file_hash, take.size_bytes, take.patient,
    take.recording, take.path_before, take.patient_before, coalesce(take.reserved_seconds, 0)
  ) as taken
$$;

revoke execute on function public.take_objects(jsonb) from public, anon, authenticated;
grant execute on function public.take_objects(jsonb) to service_role;
comment on function public.take_objects(jsonb) is
  'Calls take_object for each element of an array, whose keys are its arguments.';
