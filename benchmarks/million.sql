-- Loads sessions $FIRST to $LAST with their technical rows, their objects in the bucket and their
-- uploads. Whoever runs it is a superuser: no trigger and no foreign key sees a row.
--
-- Of a thousand sessions 970 are completed, 10 failed, 10 skipped, 9 pending and 1 processing; one
-- upload of a hundred is a duplicate, one of a thousand was refused. Of the old system ($OLD) are
-- sessions that no worker has read: their hash is that of the path and the size, the bucket's name
-- stands before the path, and no upload of theirs was taken in.

set session_replication_role = replica;
set synchronous_commit = off;
set statement_timeout = 0;

insert into public.therapy_sessions (
  id, file_path, file_hash, file_size_bytes, original_filename, patient_id, processing_status,
  processing_attempts, processing_due_at, processing_claim, processing_error,
  hash_measured_at, created_at, updated_at, processing_queued_at
)
select
  md5('session ' || n)::uuid,
  case when $OLD then 'c3d-files/' || path else path end,
  encode(sha256(convert_to(
    case when $OLD then path || ':1047104' else 'content ' || n end, 'UTF8'
  )), 'hex'),
  1047104,
  'Ghostly_Emg_' || n || '.c3d',
  'P' || lpad((n % 1000)::text, 3, '0'),
  status,
  case when status in ('pending', 'skipped') then 0 else 1 end,
  case status
    when 'pending' then now() - interval '1 second' * (n % 86400)
    when 'processing' then now() + interval '1 day'
  end,
  case
    when status in ('completed', 'failed', 'processing') and not $OLD then md5('claim ' || n)::uuid
  end,
  case when status = 'failed' then (
    array['c3d_truncated', 'c3d_invalid', 'object_missing', 'file_too_large']
  )[n / 1000 % 4 + 1] || ': The file declares 2,476 frames but holds 400. Upload it again.' end,
  case when not $OLD and status <> 'skipped' then now() - interval '30 second' * ($LAST - n) end,
  now() - interval '30 second' * ($LAST - n),
  now() - interval '30 second' * ($LAST - n),
  now() - interval '30 second' * ($LAST - n)
from generate_series($FIRST, $LAST) as n,
  lateral (select format('P%s/Ghostly_Emg_%s.c3d', lpad((n % 1000)::text, 3, '0'), n) as path) as at,
  lateral (select case
    when n % 1000 < 970 then 'completed'
    when n % 1000 < 980 then 'failed'
    when n % 1000 < 990 then 'skipped'
    when n % 1000 < 999 then 'pending'
    else 'processing'
  end as status) as stands;

insert into public.c3d_technical_data (
  session_id, original_sampling_rate, original_duration_seconds, original_sample_count,
  channel_count, channel_names, sampling_rate, duration_seconds, frame_count, extracted_at
)
select
  md5('session ' || n)::uuid, 990, 75.03, 74280, 2, array['CH1', 'CH2'], 33, 75.03, 2476,
  now() - interval '30 second' * ($LAST - n)
from generate_series($FIRST, $LAST) as n
where n % 1000 < 970;

insert into storage.objects (id, bucket_id, name, version, metadata)
select
  md5('object ' || n)::uuid, 'c3d-files',
  format('P%s/Ghostly_Emg_%s.c3d', lpad((n % 1000)::text, 3, '0'), n),
  md5('version ' || n), '{"size": 1047104, "mimetype": "application/octet-stream"}'
from generate_series($FIRST, $LAST) as n;

insert into public.storage_intake (
  object_id, version, bucket_id, object_path, size_bytes, outcome, session_id, detail, attempts,
  due_at, claim, announced_at, taken_at
)
select
  md5('object ' || n)::uuid, md5('version ' || n), 'c3d-files',
  format('P%s/Ghostly_Emg_%s.c3d', lpad((n % 1000)::text, 3, '0'), n), 1047104,
  outcome,
  case when outcome <> 'refused' then md5('session ' || n)::uuid end,
  case when outcome = 'refused' then 'object_refused: Storage refuses it.' end,
  1, null, md5('taking ' || n)::uuid,
  now() - interval '30 second' * ($LAST - n), now() - interval '30 second' * ($LAST - n)
from generate_series($FIRST, $LAST) as n,
  lateral (select case
    when n % 1000 = 13 then 'refused' when n % 100 = 7 then 'duplicate' else 'session'
  end as outcome) as became
where not $OLD;

reset session_replication_role;
