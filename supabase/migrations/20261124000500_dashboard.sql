-- What a person sees: one view to look at in the dashboard, and words on everything else.
--
-- Reason: whoever asks "where is the recording of this morning?" should not have to know the
-- queue. The view answers in the order of urgency: what failed, what is stuck, what waits, what
-- is being read, what is done; the newest first within each.

create or replace view public.session_overview
with (security_invoker = true)
as
with urgencies as (
  select
    s.id,
    case
      when s.processing_status = 'failed' then 1
      when s.processing_status = 'processing'
        and coalesce(s.processing_due_at, '-infinity') < now() - interval '1 minute' then 2
      when s.processing_status = 'pending'
        and coalesce(s.processing_due_at, s.created_at) < now() - interval '5 minutes' then 2
      when s.processing_status = 'pending' then 3
      when s.processing_status = 'processing' then 4
      when s.processing_status = 'completed' then 5
      else 6
    end as urgency
  from public.therapy_sessions as s
),
lengths as (
  select
    t.session_id,
    case
      when coalesce(t.original_duration_seconds, t.duration_seconds) between 0 and 1e9
        then coalesce(t.original_duration_seconds, t.duration_seconds)::numeric
    end as exact,
    case
      when coalesce(t.original_duration_seconds, t.duration_seconds) between 0 and 1e9
        then round(coalesce(t.original_duration_seconds, t.duration_seconds)::numeric)::integer
    end as seconds
  from public.c3d_technical_data as t
)
select
  case
    when s.processing_status = 'processing' and urgencies.urgency = 2 then 'stuck: its worker stopped'
    when s.processing_status = 'pending' and urgencies.urgency = 2 then 'stuck: no worker takes it'
    when s.processing_status = 'pending' and s.processing_due_at > now()
      then 'waiting for its next attempt'
    when s.processing_status = 'pending' then 'waiting'
    when s.processing_status = 'processing' then 'being read'
    when s.processing_status = 'skipped' then 'skipped: no recording to read'
    else s.processing_status  -- failed, completed
  end as state,
  s.patient_id as patient,
  s.original_filename as file,
  case
    when s.processing_status in ('completed', 'skipped') then null
    when s.processing_status = 'failed' then concat_ws(
      ' ',
      coalesce(s.processing_error, 'It failed before this worker was installed.'),
      case
        when s.processing_error like 'duplicate\_content: %' then null  -- it would end the same way
        else format('To try again: c3d-worker requeue %s', s.id)
      end
    )
    when urgencies.urgency = 2 then concat_ws(
      ' ',
      'Is a worker running? Start one with `c3d-worker run`; it takes this session up by itself.',
      s.processing_error
    )
    else s.processing_error
  end as what_to_do,
  t.channel_count as channels,
  t.original_sampling_rate as rate_hz,
  case
    when lengths.exact < 59.95 then format('%s s', round(lengths.exact, 1))
    when lengths.seconds < 3600
      then format('%s min %s s', lengths.seconds / 60, lengths.seconds % 60)
    when lengths.seconds is not null
      then format('%s h %s min', lengths.seconds / 3600, lengths.seconds % 3600 / 60)
  end as duration,
  t.channel_names,
  s.processing_attempts as attempts,
  case
    when s.processing_status in ('pending', 'processing') then s.created_at
  end as waiting_since,
  case
    when s.processing_status = 'pending' then s.processing_due_at
  end as next_attempt_at,
  s.created_at as uploaded_at,
  t.extracted_at as read_at,
  s.file_path,
  s.id as session_id
from public.therapy_sessions as s
join urgencies on urgencies.id = s.id
left join public.c3d_technical_data as t on t.session_id = s.id
left join lengths on lengths.session_id = s.id
order by urgencies.urgency, s.created_at desc nulls last;

revoke all on public.session_overview from public, anon, authenticated;
grant select on public.session_overview to service_role;

-- In words -----------------------------------------------------------------------------------
-- A C3D recording is a row of frames. A frame holds one set of POINT values (the frame clock,
-- what a motion camera or a game would record) and one or more samples of every ANALOG channel
-- (the EMG signal). So EMG has its own, faster clock: samples a frame times frames a second.

comment on table public.therapy_sessions is
  'One row for each uploaded recording: the file, the patient, and how far its reading has come. To look at, use the view session_overview.';
comment on column public.therapy_sessions.id is 'The session. Every other table refers to it by this.';
comment on column public.therapy_sessions.file_path is 'Where the recording lies in Storage, inside the bucket c3d-files.';
comment on column public.therapy_sessions.file_hash is
  'SHA-256 of the file, 64 hex digits: the same recording is never a second session. Other text comes from the old system and is replaced when the file has been read.';
comment on column public.therapy_sessions.file_size_bytes is 'Size of the file in bytes, as it was uploaded.';
comment on column public.therapy_sessions.patient_id is 'The patient''s code, as the path says it (P005/…). Empty when the path says none.';
comment on column public.therapy_sessions.processing_status is
  'pending: waits to be read. processing: a worker has it. completed: its technical row exists. failed: processing_error says why and what helps. skipped: there is no recording to read.';
comment on column public.therapy_sessions.original_filename is 'Name of the file as it was uploaded.';
comment on column public.therapy_sessions.game_metadata is
  'What is known of the game: level, score, version, duration. Keys that others have set stay; the file fills the gaps.';
comment on column public.therapy_sessions.analytics_cache is
  'Results that were computed once and are kept. This project writes the key channel_statistics only.';
comment on column public.therapy_sessions.cache_hits is 'How often a kept result was used instead of reading the file again.';
comment on column public.therapy_sessions.created_at is 'When the session was created, right after its upload.';
comment on column public.therapy_sessions.updated_at is 'When any value of this row last changed.';
comment on column public.therapy_sessions.last_accessed_at is 'When a kept result was last used.';
comment on column public.therapy_sessions.processing_attempts is
  'How often a worker has begun to read the file. A session given back unharmed, at a shutdown for example, does not count.';
comment on column public.therapy_sessions.processing_due_at is
  'While pending: not to be tried before this time. While processing: until then the worker has it to itself. Empty when finished.';
comment on column public.therapy_sessions.processing_claim is
  'Under which claim a worker took the session last. It stays after the end, so that a repeated call is recognised.';
comment on column public.therapy_sessions.processing_error is
  'Why it failed last, or why it is tried again: a code, then a sentence with what helps.';

comment on table public.c3d_technical_data is
  'What the recording says of itself, one row for each session whose file has been read. No value here is made up: empty means that the file does not say.';
comment on column public.c3d_technical_data.session_id is 'The session whose file this is.';
comment on column public.c3d_technical_data.original_sampling_rate is
  'EMG samples a second, in Hz (ANALOG:RATE). Empty when there are no ANALOG channels or the file states no plausible rate.';
comment on column public.c3d_technical_data.original_duration_seconds is
  'Length of the EMG signal in seconds: original_sample_count divided by original_sampling_rate.';
comment on column public.c3d_technical_data.original_sample_count is
  'EMG samples in each channel: frames times samples a frame.';
comment on column public.c3d_technical_data.channel_count is
  'Number of ANALOG channels (ANALOG:USED). 0 means that the recording has none.';
comment on column public.c3d_technical_data.channel_names is
  'Names of the ANALOG channels in the order of the file (ANALOG:LABELS). An empty name is a channel the file does not name.';
comment on column public.c3d_technical_data.sampling_rate is
  'Frames a second, in Hz (POINT:RATE): the clock of points and game, not of the EMG signal.';
comment on column public.c3d_technical_data.duration_seconds is
  'Length of the recording on the frame clock in seconds: frame_count divided by sampling_rate.';
comment on column public.c3d_technical_data.frame_count is 'Number of frames, confirmed by the length of the file.';
comment on column public.c3d_technical_data.extracted_at is
  'When this project read the file. Empty for values taken over from the old system: read them anew with `c3d-worker requeue --migrated`.';

comment on view public.session_overview is
  'Every session at a glance, in the order of urgency: failed, stuck, waiting, being read, completed; the newest first within each.';
comment on column public.session_overview.state is 'How far the session has come, in words.';
comment on column public.session_overview.patient is 'The patient''s code.';
comment on column public.session_overview.file is 'Name of the file as it was uploaded.';
comment on column public.session_overview.what_to_do is
  'What went wrong and what helps. Empty when nothing is to be done.';
comment on column public.session_overview.channels is 'Number of ANALOG (EMG) channels.';
comment on column public.session_overview.rate_hz is 'EMG samples a second, in Hz.';
comment on column public.session_overview.duration is
  'Length of the recording. Of the EMG signal; where there is none, by the frame clock.';
comment on column public.session_overview.channel_names is 'Names of the ANALOG (EMG) channels in the order of the file.';
comment on column public.session_overview.attempts is 'How often a worker has begun to read the file.';
comment on column public.session_overview.waiting_since is 'Since when the session waits for its technical row. Empty when finished.';
comment on column public.session_overview.next_attempt_at is 'While it waits: when it is tried next.';
comment on column public.session_overview.uploaded_at is 'When the session was created, right after its upload.';
comment on column public.session_overview.read_at is 'When the file was read. Empty for values taken over from the old system.';
comment on column public.session_overview.file_path is 'Where the recording lies in Storage.';
comment on column public.session_overview.session_id is 'The session, for `c3d-worker show` and `c3d-worker requeue`.';

comment on function public.claim_sessions(uuid, integer, integer, integer) is
  'Gives the caller sessions to read, the longest due first, and holds them for lease_seconds. The same claim again gets the same sessions. One whose worker died comes alone; after max_attempts it fails.';
comment on function public.complete_session(uuid, uuid, jsonb, text, jsonb, jsonb) is
  'Writes the technical row and completes the session, both or neither. Says completed, duplicate (another session holds this very recording) or lost (the claim no longer holds it; nothing changed).';
comment on function public.fail_session(uuid, uuid, text, text, integer, double precision) is
  'Says why a session could not be read. With retry_seconds and attempts left it waits and is tried again: pending. Otherwise failed. Lost: the claim no longer holds it; nothing changed.';
comment on function public.release_sessions(uuid[], uuid[], double precision) is
  'Gives sessions back unharmed: pending, due now, the attempt not counted. Returns those given back.';
comment on function public.extend_lease(uuid[], uuid[], integer) is
  'Holds sessions for lease_seconds from now. Returns those still held; the others went to another worker.';
comment on function public.requeue_session(uuid, text, boolean) is
  'Has a failed session read again from the start, with force a completed one too. Says pending, refused (another state) or missing.';
comment on function public.touch_therapy_session() is
  'Keeps updated_at. Called by the trigger of the same name.';
