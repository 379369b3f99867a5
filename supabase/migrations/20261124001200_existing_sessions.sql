-- An upload whose content has a session already.
--
-- Reason: the same bytes are one recording and one session. A second upload of them is a duplicate;
-- but where the session's own object is gone or was changed, it takes the place of that object.

set local lock_timeout = '5s';

-- Finds a session of another program by its path; those whose content is known are not in it.
create index if not exists therapy_sessions_unmeasured
on public.therapy_sessions (file_path) where hash_measured_at is null;

create or replace function public.find_session(
  file_hash text,
  file_path text,
  bucket text default null
)
returns table (session_id uuid, session_path text, status text, taken_in boolean)
language sql
stable
security invoker
set search_path = ''
as $$
  with candidates as (
    select s.id, s.file_path, s.processing_status, 1 as preference
    from public.therapy_sessions as s
    where s.file_hash = lower(find_session.file_hash)
    union all
    -- What another program says of the content proves nothing: there the path says whose object it
    -- is, until that object was taken in. Whatever comes to the path later is another recording.
    select s.id, s.file_path, s.processing_status, 2
    from public.therapy_sessions as s
    where s.file_path in (
        find_session.file_path, find_session.bucket || '/' || find_session.file_path
      )
      and s.hash_measured_at is null
      and not exists (select from public.storage_intake as i where i.session_id = s.id)
  )
  select
    candidates.id,
    public.object_path_in(find_session.bucket, candidates.file_path),
    candidates.processing_status::text,
    exists (
      select
      from public.storage_intake as i
      where i.session_id = candidates.id and i.outcome in ('session', 'skipped')
    )
  from candidates
  order by candidates.preference
  limit 1
$$;

revoke execute on function public.find_session(text, text, text) from public, anon, authenticated;
grant execute on function public.find_session(text, text, text) to service_role;
comment on function public.find_session(text, text, text) is
  'The session that has a content already, if any, where its object lies, and whether its own upload was taken in before. A session whose content nobody has measured is found by its path, with the bucket''s name before it or without.';

-- A recording that was moved to another patient's folder was filed under the wrong one: its session
-- gets that folder's patient, unless somebody has given it another than its old folder's. It follows
-- its own object also where a copy, or another recording, lies at its path by now.
create or replace function public.relink_session(
  session uuid,
  bucket text,
  object_path text,
  size_bytes bigint,
  patient_before text default null,
  patient text default null,
  is_own boolean default false
)
returns table (result text, patient_changed boolean)
language plpgsql
security invoker
set search_path = ''
as $$
declare
  existing public.therapy_sessions;
  lies_at text;
  new_path text;
  new_patient text;
  needs_it boolean;
  is_moved boolean;
begin
  select s.* into existing
  from public.therapy_sessions as s
  where s.id = relink_session.session
  for update;

  patient_changed := false;
  if not found then
    result := 'missing';
    return next;
    return;
  end if;

  -- It failed because of its object, or it was skipped because its name did not end in .c3d.
  needs_it := (
      existing.processing_status = 'failed'
      and coalesce(existing.processing_error, '')
        ~ '^(object_missing|object_refused|size_mismatch|hash_mismatch): '
    ) or (
      existing.processing_status = 'skipped' and relink_session.object_path ilike '%.c3d'
    );
  lies_at := public.object_path_in(relink_session.bucket, existing.file_path);
  is_moved := lies_at <> relink_session.object_path
    and (relink_session.is_own or not public.has_object(relink_session.bucket, lies_at));
  new_path := case  -- in the spelling of whoever wrote it
    when lies_at = relink_session.object_path then existing.file_path
    when lies_at = existing.file_path then relink_session.object_path
    else relink_session.bucket || '/' || relink_session.object_path
  end;

  if needs_it then
    update public.therapy_sessions as s
    set
      file_path = new_path,
      file_size_bytes = relink_session.size_bytes,
      processing_status = 'pending',
      processing_attempts = 0,
      processing_due_at = clock_timestamp(),
      processing_claim = null,
      processing_queued_at = clock_timestamp(),
      processing_error = 'requeued: Its recording was uploaded again.'
    where s.id = relink_session.session;
  elsif is_moved then
    update public.therapy_sessions as s
    set file_path = new_path
    where s.id = relink_session.session;
  end if;
  result := case when needs_it then 'requeued' when is_moved then 'relinked' else 'kept' end;

  patient_changed := coalesce(
    is_moved
    and relink_session.patient <> coalesce(relink_session.patient_before, '')
    and (
      existing.patient_code = relink_session.patient_before
      or existing.patient_id::text = (
        select p.patient from public.find_patient(relink_session.patient_before) as p
      )
      or num_nonnulls(
        existing.patient_id, existing.patient_code, relink_session.patient_before
      ) = 0
    ),
    false
  );
  if patient_changed then
    new_patient := (select p.patient from public.find_patient(relink_session.patient) as p);
    begin
      perform public.set_patient(relink_session.session, new_patient, relink_session.patient);
    exception when foreign_key_violation then  -- there is no such patient yet: filled later
      perform public.set_patient(relink_session.session, null, relink_session.patient);
    end;
  end if;
  return next;
end
$$;

revoke execute on function public.relink_session(uuid, text, text, bigint, text, text, boolean)
  from public, anon, authenticated;
grant execute on function public.relink_session(uuid, text, text, bigint, text, text, boolean) to service_role;
comment on function public.relink_session(uuid, text, text, bigint, text, text, boolean) is
  'Points a session to an upload of its own content. One that failed for want of it is read again: requeued. One whose object is gone, or is this one (is_own), gets the new path, and the patient of the new folder where it had that of the old one: relinked. Any other: kept. Missing: there is no such session.';

create or replace function public.set_patient(session uuid, patient text, code text)
returns void
language plpgsql
security invoker
set search_path = ''
as $$
begin
  execute format(
    'update public.therapy_sessions as s
     set patient_id = $2::%s, patient_code = case when $2 is null then $3 end
     where s.id = $1',
    public.patient_type()
  ) using set_patient.session, set_patient.patient, set_patient.code;
end
$$;

revoke execute on function public.set_patient(uuid, text, text) from public, anon, authenticated;
grant execute on function public.set_patient(uuid, text, text) to service_role;
comment on function public.set_patient(uuid, text, text) is
  'Gives a session a patient, or the code to wait for. A step of relink_session.';

-- A session whose object is gone or was changed while a copy of it remains is read from the copy.
create or replace function public.find_copy(session uuid, claim uuid, bucket text, read_path text)
returns text
language plpgsql
security invoker
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  written text;
  current_path text;
  copy text;
begin
  select s.file_path, public.object_path_in(find_copy.bucket, s.file_path)
  into written, current_path
  from public.therapy_sessions as s
  where s.id = find_copy.session
    and s.processing_claim = find_copy.claim
    and s.processing_status = 'processing';
  if current_path <> find_copy.read_path then
    return current_path;  -- it was moved meanwhile, and its upload was faster
  end if;

  select i.object_path into copy
  from public.storage_intake as i
  where i.session_id = find_copy.session
    and i.bucket_id = find_copy.bucket
    and public.is_current(i.object_id, i.version)
  order by i.object_path <> current_path, i.taken_at desc
  limit 1;
  if copy is null or copy = current_path then  -- or its own object is what it was
    return null;
  end if;

  update public.therapy_sessions as s
  set file_path = case when written = current_path then copy else find_copy.bucket || '/' || copy end
  where s.id = find_copy.session
    and s.processing_claim = find_copy.claim
    and s.processing_status = 'processing';
  return case when found then copy end;
exception when assert_failure or others then
  if public.is_trouble(sqlstate) then
    raise;
  end if;
  return null;  -- a rule of the row refuses another path
end
$$;

revoke execute on function public.find_copy(uuid, uuid, text, text) from public, anon, authenticated;
grant execute on function public.find_copy(uuid, uuid, text, text) to service_role;
comment on function public.find_copy(uuid, uuid, text, text) is
  'Points a session that is being processed under this claim, and whose object at read_path is gone or changed, to another object of the same content, and returns its path in the bucket. Empty: there is none, or a rule refuses, or the claim is lost; nothing changed.';
