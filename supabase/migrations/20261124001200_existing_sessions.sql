-- An upload whose content has a session already.
--
-- Reason: the same bytes are one recording and one session. A second upload of them is a duplicate;
-- but where the session's own object is gone or was changed, it takes the place of that object.

set local lock_timeout = '5s';

-- Finds a session of the old system by its path; sessions with a SHA-256 are not in it.
create index if not exists therapy_sessions_without_content_hash
on public.therapy_sessions (file_path) where file_hash !~ '^[0-9a-f]{64}$';

create or replace function public.find_session(file_hash text, file_path text)
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
    -- The old system hashed path and size: there the path says whose object it is, until that
    -- object was taken in. Whatever comes to the path later is another recording.
    select s.id, s.file_path, s.processing_status, 2
    from public.therapy_sessions as s
    where s.file_path = find_session.file_path
      and s.file_hash !~ '^[0-9a-f]{64}$'
      and not exists (select from public.storage_intake as i where i.session_id = s.id)
  )
  select
    candidates.id,
    candidates.file_path::text,
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

revoke execute on function public.find_session(text, text) from public, anon, authenticated;
grant execute on function public.find_session(text, text) to service_role;
comment on function public.find_session(text, text) is
  'The session that has a content already, if any, and whether its own upload was taken in before. A session of the old system is found by its path.';

-- Whether an object is in the bucket under this name.
create or replace function public.has_object(bucket text, object_path text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return exists (
    select
    from storage.objects as o
    where o.bucket_id = has_object.bucket
      and o.name = has_object.object_path
      and public.is_live(to_jsonb(o))
  );
end
$$;

revoke execute on function public.has_object(text, text) from public, anon, authenticated;
grant execute on function public.has_object(text, text) to service_role;
comment on function public.has_object(text, text) is
  'Whether the bucket has an object of this name.';

-- A recording that was moved to another patient's folder was filed under the wrong one: its session
-- gets that folder's patient, unless somebody has given it another than its old folder's.
create or replace function public.relink_session(
  session uuid,
  bucket text,
  object_path text,
  size_bytes bigint,
  patient_before text default null,
  patient text default null
)
returns table (result text, patient_changed boolean)
language plpgsql
security invoker
set search_path = ''
as $$
declare
  existing public.therapy_sessions;
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
  is_moved := existing.file_path <> relink_session.object_path
    and not public.has_object(relink_session.bucket, existing.file_path);

  if needs_it then
    update public.therapy_sessions as s
    set
      file_path = relink_session.object_path,
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
    set file_path = relink_session.object_path
    where s.id = relink_session.session;
  end if;
  result := case when needs_it then 'requeued' when is_moved then 'relinked' else 'kept' end;

  patient_changed := is_moved
    and relink_session.patient <> coalesce(relink_session.patient_before, '')
    and coalesce(existing.patient_id::text, existing.patient_code)
      is not distinct from relink_session.patient_before;
  patient_changed := coalesce(patient_changed, false);
  if patient_changed then
    begin
      update public.therapy_sessions as s
      set patient_id = relink_session.patient, patient_code = null
      where s.id = relink_session.session;
    exception when foreign_key_violation then  -- there is no such patient yet: filled later
      update public.therapy_sessions as s
      set patient_id = null, patient_code = relink_session.patient
      where s.id = relink_session.session;
    end;
  end if;
  return next;
end
$$;

revoke execute on function public.relink_session(uuid, text, text, bigint, text, text)
  from public, anon, authenticated;
grant execute on function public.relink_session(uuid, text, text, bigint, text, text) to service_role;
comment on function public.relink_session(uuid, text, text, bigint, text, text) is
  'Points a session to an upload of its own content. One that failed for want of it is read again: requeued. One whose object is gone gets the new path, and the patient of the new folder where it had that of the old one: relinked. Any other: kept. Missing: there is no such session.';

-- A session whose object is gone or was changed while a copy of it remains is read from the copy.
create or replace function public.find_copy(session uuid, claim uuid, bucket text, read_path text)
returns text
language plpgsql
security invoker
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  current_path text;
  copy text;
begin
  select s.file_path into current_path
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
  set file_path = copy
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
  'Points a session that is being processed under this claim, and whose object at read_path is gone or changed, to another object of the same content, and returns its path. Empty: there is none, or a rule refuses, or the claim is lost; nothing changed.';
