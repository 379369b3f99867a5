-- The view that a person looks at in the dashboard.
--
-- Reason: whoever asks "where is the recording of this morning?" should not have to know the queue.
-- The dashboard orders a view by its first column, ascending: so that is the urgency, which depends
-- on the status alone and has an index. What is stuck depends on the clock, so it is told in words.

set local lock_timeout = '5s';

create index if not exists therapy_sessions_urgency on public.therapy_sessions (
  (
    case processing_status
      when 'failed' then 1
      when 'pending' then 2
      when 'processing' then 3
      when 'completed' then 4
      else 5
    end
  ) nulls first,
  created_at desc nulls last
);

-- What may have taken the place of a session that failed: a completed one, by its path or its patient.
create index if not exists therapy_sessions_completed_path
on public.therapy_sessions (file_path, created_at) where processing_status = 'completed';
create index if not exists therapy_sessions_completed_patient
on public.therapy_sessions (patient_id, created_at) where processing_status = 'completed';
-- What belongs to nobody, for `c3d-worker status`.
create index if not exists therapy_sessions_without_patient
on public.therapy_sessions (created_at desc nulls last)
where patient_id is null and patient_code is null;

create or replace view public.session_overview
with (security_invoker = true)
as
select
  case s.processing_status
    when 'failed' then 1
    when 'pending' then 2
    when 'processing' then 3
    when 'completed' then 4
    else 5
  end as urgency,  -- the very expression of the index
  case
    when aside.session_id is not null then 'set aside: its row refuses to be changed'
    when is_stuck and s.processing_status = 'processing' then 'stuck: its worker stopped'
    when is_stuck then 'stuck: no worker reads it'
    when s.processing_status = 'pending' and s.processing_due_at > now()
      and s.processing_error is not null  -- else it is left to the worker that has its bytes
      then 'waiting for its next attempt'
    when s.processing_status = 'pending' then 'waiting'
    when s.processing_status = 'processing' then 'being read'
    when s.processing_status = 'skipped' then 'skipped: no recording to read'
    when is_taken_over then 'taken over: no worker has read it'
    else s.processing_status  -- failed, completed
  end as state,
  coalesce(s.patient_id::text, s.patient_code) as patient,
  s.original_filename as file,
  case
    when is_taken_over then 'To have it read: c3d-worker requeue --migrated'
    when s.processing_status = 'skipped' then null
    when s.processing_status = 'completed' then case
      when s.patient_id is not null then null
      when s.patient_code is not null
        then format('Its patient %s is not entered yet, and is filled in by itself.', s.patient_code)
      else 'It has no patient, because its path names none: set patient_id, or move the file into the patient''s folder.'
    end
    when s.processing_status = 'failed' and same_path.id is not null then format(
      'Superseded by session %s, a later upload to this path, which is completed: nothing is left to do. It failed with %s',
      same_path.id, coalesce(s.processing_error, 'no error of this worker.')
    )
    when s.processing_status = 'failed' then concat_ws(
      ' ',
      coalesce(s.processing_error, 'Another program set it to failed.'),
      format(
        case
          -- The sentence has the cure, and another attempt would end the same way.
          when code in ('duplicate_content', 'object_refused', 'size_mismatch', 'hash_mismatch')
            then null
          when code = 'c3d_too_costly' then 'Once a limit is raised: c3d-worker requeue %s'
          when code like 'c3d\_%'
            then 'This file stays unreadable, so do not requeue it: upload a better one.'
          when code = 'object_missing'
            then 'Once that very file is uploaded, it is read by itself; once file_path is corrected: c3d-worker requeue %s'
          when code is null then 'To have it read: c3d-worker requeue %s'
          else 'Once that is cured: c3d-worker requeue %s'
        end,
        s.id
      ),
      case
        when same_patient.id is not null then format(
          'If session %s, a later upload of the same patient, which is completed, is this recording: superseded, and nothing is left to do.',
          same_patient.id
        )
      end
    )
    when aside.session_id is not null then aside.reason
    when is_stuck then concat_ws(
      ' ',
      'Is a worker running? Start one with `c3d-worker run`; it claims this session by itself.',
      waits,
      s.processing_error
    )
    when s.processing_status = 'pending' and s.processing_error is not null
      then concat(rtrim(s.processing_error, '. '), '. ', waits)
    else s.processing_error
  end as what_to_do,
  t.channel_count as channels,
  t.original_sampling_rate as rate_hz,
  case
    when t.seconds < 59.95 then format('%s s', round(t.seconds, 1))
    when t.seconds < 3599.5
      then format('%s min %s s', round(t.seconds)::integer / 60, round(t.seconds)::integer % 60)
    when t.seconds is not null then format(
      '%s h %s min', round(t.seconds)::integer / 3600, round(t.seconds)::integer % 3600 / 60
    )
  end as duration,
  t.channel_names,
  s.processing_attempts as attempts,
  case
    when s.processing_status in ('pending', 'processing')
      then coalesce(s.processing_queued_at, s.created_at)
  end as waiting_since,
  case when s.processing_status = 'pending' then s.processing_due_at end as next_attempt_at,
  s.created_at as uploaded_at,
  case when s.hash_measured_at is not null then t.extracted_at end as read_at,
  s.file_path,
  s.id as session_id,
  case when s.processing_status = 'completed' and t.channel_count > 0 then
    case
      when heard.faults is not null then heard.faults
      when heard.judged is null then 'not judged: c3d-worker judge'
      when heard.judged < t.channel_count
        then format('not judged: %s of %s channels', t.channel_count - heard.judged, t.channel_count)
      when heard.partly then 'nothing found; hum and motion cannot be judged'
      else 'good'
    end
  end as signal,
  p.preview
from public.therapy_sessions as s
cross join lateral (
  select
    s.processing_status = 'completed'
      and s.hash_measured_at is null
      and (s.file_path ilike '%.c3d' or s.original_filename ilike '%.c3d')
  as is_taken_over  -- as requeue_sessions finds it
) as origin
cross join lateral (
  select case s.processing_status
    when 'processing'
      then coalesce(s.processing_due_at, '-infinity') < now() - interval '1 minute'
    when 'pending'  -- trouble moves the due time; a session's own retry is due for a moment
      then coalesce(s.processing_due_at, '-infinity')
          <= now() - case when s.processing_attempts = 0 then interval '0' else interval '1 minute' end
        and coalesce(s.processing_queued_at, s.created_at) < now() - interval '5 minutes'
    else false
  end as is_stuck
) as clock
cross join lateral (
  select
    split_part(s.processing_error, ':', 1) as code,
    format(
      'Waiting since %s UTC.',
      to_char(
        coalesce(s.processing_queued_at, s.created_at) at time zone 'UTC', 'YYYY-MM-DD HH24:MI'
      )
    ) as waits
) as told
-- Rows that are looked up one by one keep the order of the index: a page of the overview reads no
-- session but its own. That is what `offset 0` sees to.
left join lateral (
  select refusing.session_id, refusing.reason
  from public.set_aside as refusing
  where refusing.session_id = s.id
    and s.processing_status in ('pending', 'processing')
  offset 0
) as aside on true
left join lateral (
  select later.id
  from public.therapy_sessions as later
  where s.processing_status = 'failed'
    and later.processing_status = 'completed'
    and later.file_path = s.file_path
    and later.created_at > s.created_at
  order by later.created_at desc
  limit 1
) as same_path on true
left join lateral (
  select later.id
  from public.therapy_sessions as later
  where s.processing_status = 'failed'
    and s.processing_error not like 'duplicate\_content: %'
    and later.processing_status = 'completed'
    and later.patient_id = s.patient_id
    and later.created_at > s.created_at
    and later.created_at < s.created_at + interval '1 day'
  order by later.created_at
  limit 1
) as same_patient on true
left join lateral (
  select
    known.channel_count,
    known.original_sampling_rate,
    known.channel_names,
    known.extracted_at,
    case when length.exact between 0 and 1e9 then length.exact::numeric end as seconds
  from public.c3d_technical_data as known
  cross join lateral (
    select coalesce(known.original_duration_seconds, known.duration_seconds) as exact
  ) as length
  where known.session_id = s.id
  offset 0
) as t on true
-- What was found in the channels. The cache is a column of the application's as well, so nothing in
-- it is taken for granted.
left join lateral (
  select
    count(*) filter (where jsonb_typeof(channel.said -> 'verdicts') = 'array') as judged,
    bool_or(channel.said ? 'not_judged') as partly,
    public.channel_faults(kept.channels) as faults
  from (select s.analytics_cache -> 'channel_statistics' -> 'channels' as channels) as kept
  cross join lateral jsonb_array_elements(
    case when jsonb_typeof(kept.channels) = 'array' then kept.channels end
  ) as channel (said)
  group by kept.channels
  having bool_or(channel.said ? 'verdicts')
  offset 0
) as heard on true
left join lateral (
  select 'c3d-previews/' || made.object_name as preview
  from public.session_previews as made
  where made.session_id = s.id
    and made.made_at is not null
  offset 0
) as p on true
order by urgency nulls first, s.created_at desc nulls last;

revoke all on public.session_overview from public, anon, authenticated;
grant select on public.session_overview to service_role;

comment on view public.session_overview is
  'Every session at a glance, in the order of urgency: failed, waiting, being read, completed, skipped; the newest first within each.';
comment on column public.session_overview.urgency is
  'The order: 1 failed, 2 waiting, 3 being read, 4 completed, 5 skipped.';
comment on column public.session_overview.state is 'How far the session has come, in words.';
comment on column public.session_overview.patient is
  'patient_id, or the patient''s code while no such patient is known.';
comment on column public.session_overview.file is 'Name of the file as it was uploaded.';
comment on column public.session_overview.what_to_do is
  'What went wrong and the cure; what has taken its place; for what it waits, and since when. Empty when there is nothing to do.';
comment on column public.session_overview.channels is 'Number of ANALOG (EMG) channels.';
comment on column public.session_overview.rate_hz is 'EMG samples per second, in Hz.';
comment on column public.session_overview.duration is
  'Length of the EMG signal, in words. Where there is none, length by the frame clock.';
comment on column public.session_overview.channel_names is 'Names of the ANALOG (EMG) channels in the order of the file.';
comment on column public.session_overview.attempts is 'Number of attempts to read the file.';
comment on column public.session_overview.waiting_since is 'Since when the session waits for its technical row. Empty when finished.';
comment on column public.session_overview.next_attempt_at is
  'While it waits: the time of the next attempt.';
comment on column public.session_overview.uploaded_at is 'When the session was created, right after its upload.';
comment on column public.session_overview.read_at is
  'When the worker read the file. Empty for values taken over from the old system.';
comment on column public.session_overview.file_path is 'Path of the recording in the bucket.';
comment on column public.session_overview.signal is
  'Whether the recording worked: good, or the worst faults of its channels, or what could not be judged. Empty before it is read.';
comment on column public.session_overview.session_id is
  'The session''s id, for `c3d-worker show` and `c3d-worker requeue`.';
comment on column public.session_overview.preview is
  'Where its picture lies in Storage: the bucket, then the name. Empty while there is none.';
