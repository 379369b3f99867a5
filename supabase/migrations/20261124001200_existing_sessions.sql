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

create or replace function public.relink_session(
  session uuid,
  bucket text,
  object_path text,
  size_bytes bigint
)
returns text
language plpgsql
security invoker
set search_path = ''
as $$
declare
  existing public.therapy_sessions;
  needs_it boolean;
  has_no_object boolean;
begin
  select s.* into existing
  from public.therapy_sessions as s
  where s.id = relink_session.session
  for update;

  if not found then
    return 'missing';
  end if;

  -- It failed because of its object, or it was skipped because its name did not end in .c3d.
  needs_it := (
      existing.processing_status = 'failed'
      and coalesce(existing.processing_error, '')
        ~ '^(object_missing|object_refused|size_mismatch|hash_mismatch): '
    ) or (
      existing.processing_status = 'skipped' and relink_session.object_path ilike '%.c3d'
    );
  has_no_object := existing.file_path <> relink_session.object_path and not exists (
    select
    from storage.objects as o
    where o.bucket_id = relink_session.bucket and o.name = existing.file_path
  );

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
    return 'requeued';
  elsif has_no_object then
    update public.therapy_sessions as s
    set file_path = relink_session.object_path
    where s.id = relink_session.session;
    return 'relinked';
  end if;

  return 'kept';
end
$$;

revoke execute on function public.relink_session(uuid, text, text, bigint)
  from public, anon, authenticated;
grant execute on function public.relink_session(uuid, text, text, bigint) to service_role;
comment on function public.relink_session(uuid, text, text, bigint) is
  'Points a session to an upload of its own content. One that failed for want of it is read again: requeued. One whose object is gone gets the new path: relinked. Any other: kept. Missing: there is no such session.';
