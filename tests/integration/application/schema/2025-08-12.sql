-- Technical values on the session, and a version that nothing fills.
create table public.therapy_sessions (
  id uuid primary key default gen_random_uuid(),
  file_path text not null unique,
  file_hash text not null,
  file_size_bytes bigint not null,
  patient_id text,
  original_sampling_rate double precision not null,
  original_duration_seconds double precision not null,
  original_sample_count integer not null,
  channel_count integer not null,
  channel_names jsonb not null,
  sampling_rate double precision not null,
  duration_seconds double precision not null,
  frame_count integer not null,
  processing_version text not null,
  processing_status text not null default 'pending'
    check (processing_status in ('pending', 'processing', 'completed', 'failed')),
  processing_error_message text,
  analytics_cache jsonb default '{}',
  cache_hits integer default 0,
  last_accessed_at timestamptz default now(),
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);
create index therapy_sessions_by_hash on public.therapy_sessions (file_hash);

insert into public.therapy_sessions (
  file_path, file_hash, file_size_bytes, patient_id,
  original_sampling_rate, original_duration_seconds, original_sample_count,
  channel_count, channel_names, sampling_rate, duration_seconds, frame_count,
  processing_version, processing_status, analytics_cache, created_at, updated_at, last_accessed_at
)
select
  file_path, file_hash, size_bytes, patient_code,
  rate, seconds, samples, channels, to_jsonb(names), rate, seconds, samples,
  '1.0.0', status, '{"rms": 0.1}', uploaded_at, uploaded_at, uploaded_at
from uploaded;
