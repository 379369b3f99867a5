-- The uploads that have no session yet, or never get one, for a person in the dashboard.
--
-- Reason: an upload without a session is in no other view, and whoever asks for it wants to know
-- what it waits for and what helps. Its order has an index, as that of session_overview.

set local lock_timeout = '5s';

create index if not exists storage_intake_other_patient on public.storage_intake (taken_at)
where outcome = 'duplicate' and detail like 'other\_patient: %';
create index if not exists storage_intake_urgency on public.storage_intake (
  (
    case outcome
      when 'refused' then 1
      when 'duplicate' then 1
      when 'waiting' then case when detail is null then 3 else 2 end
      when 'taking' then 4
      else 5
    end
  ) nulls first,
  announced_at desc
)
where outcome in ('waiting', 'taking', 'refused', 'superseded', 'gone')
  or (outcome = 'duplicate' and detail like 'other\_patient: %');

create or replace view public.upload_overview
with (security_invoker = true)
as
select
  case i.outcome
    when 'refused' then 1
    when 'duplicate' then 1
    when 'waiting' then case when i.detail is null then 3 else 2 end
    when 'taking' then 4
    else 5
  end as urgency,  -- the very expression of the index
  case
    when i.outcome = 'refused' then 'refused: no session is possible'
    when i.outcome = 'duplicate' then 'known already, and of another patient'
    when i.outcome = 'superseded' then 'overwritten or moved before it was taken in'
    when i.outcome = 'gone' then 'deleted before it was taken in'
    when is_stuck and i.outcome = 'taking' then 'stuck: its worker stopped'
    when is_stuck then 'stuck: no worker takes it in'
    when i.outcome = 'taking' then 'being taken in'
    when i.due_at > now() then 'waiting for its next attempt'
    else 'waiting'
  end as state,
  regexp_replace(i.object_path, '^.*/', '') as file,
  case
    when i.outcome in ('superseded', 'gone') then null
    when i.outcome = 'refused' and better.session is not null then format(
      'Superseded by session %s, a later upload to this path: nothing is left to do. It was refused with %s',
      better.session, i.detail
    )
    when i.outcome = 'duplicate' then format('%s To retake it: c3d-worker retake %s', i.detail, i.object_id)
    when i.outcome = 'refused' and i.detail ~ '^(file_beyond_integer|object_refused): '
      then i.detail  -- taken in anew, it would end the same way
    when i.outcome = 'refused' then concat_ws(
      ' ', i.detail, format('To take it in anew: c3d-worker retake %s', i.object_id)
    )
    when is_stuck then concat_ws(
      ' ',
      'Is a worker running? Start one with `c3d-worker run`; it takes this upload in by itself.',
      waits,
      i.detail
    )
    when i.outcome = 'waiting' and i.detail is not null then concat(rtrim(i.detail, '. '), '. ', waits)
    else i.detail
  end as what_to_do,
  i.attempts,
  case when i.outcome in ('waiting', 'taking') then i.announced_at end as waiting_since,
  case when i.outcome = 'waiting' then i.due_at end as next_attempt_at,
  i.announced_at as uploaded_at,
  i.taken_at as ended_at,
  i.size_bytes,
  i.object_path,
  i.bucket_id as bucket,
  i.object_id
from public.storage_intake as i
cross join lateral (
  select case i.outcome
    when 'taking' then i.due_at < now() - interval '1 minute'
    when 'waiting' then greatest(i.due_at, i.announced_at) < now() - interval '5 minutes'
    else false
  end as is_stuck,
  format(
    'Waiting since %s UTC.', to_char(i.announced_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
  ) as waits
) as clock
left join lateral (  -- another version of the object, or another object at its path
  select later.session_id as session
  from public.storage_intake as later
  where i.outcome = 'refused'
    and later.object_id = i.object_id
    and later.outcome in ('session', 'duplicate')
    and later.announced_at > i.announced_at
  union all
  select s.id
  from public.therapy_sessions as s
  where i.outcome = 'refused'
    and s.processing_status = 'completed'
    and s.file_path = i.object_path
    and s.created_at > i.announced_at
  limit 1
) as better on true
where i.outcome in ('waiting', 'taking', 'refused', 'superseded', 'gone')
  or (
    i.outcome = 'duplicate'
    and i.detail like 'other\_patient: %'
    and public.is_current(i.object_id, i.version)  -- else somebody has decided
  )
order by urgency nulls first, i.announced_at desc;

revoke all on public.upload_overview from public, anon, authenticated;
grant select on public.upload_overview to service_role;

comment on view public.upload_overview is
  'Uploads that have no session yet or never get one, and what helps: refused, or known already and of another patient; waiting for something, waiting, being taken in, overwritten, moved or deleted; the newest first within each.';
comment on column public.upload_overview.urgency is
  'The order: 1 refused, or of another patient, 2 waiting for something, 3 waiting, 4 being taken in, 5 overwritten, moved or deleted.';
comment on column public.upload_overview.state is 'How far the upload has come, in words.';
comment on column public.upload_overview.file is 'Name of the file as it was uploaded.';
comment on column public.upload_overview.what_to_do is
  'Why it was refused, what has taken its place, or for what it waits and since when, and what helps. Empty when there is nothing to do.';
comment on column public.upload_overview.attempts is 'How often a worker has begun to take it in, since it waits for the same.';
comment on column public.upload_overview.waiting_since is 'Since when it waits for its session. Empty when it has ended.';
comment on column public.upload_overview.next_attempt_at is 'While it waits: the time of its next attempt.';
comment on column public.upload_overview.uploaded_at is 'When the upload was noted.';
comment on column public.upload_overview.ended_at is 'When it was refused, or found to be overwritten, moved or deleted.';
comment on column public.upload_overview.size_bytes is 'Its size in bytes, as Storage says it.';
comment on column public.upload_overview.object_path is 'Where it lay in the bucket when it was announced.';
comment on column public.upload_overview.bucket is 'The bucket.';
comment on column public.upload_overview.object_id is 'The object, for `c3d-worker retake`.';
