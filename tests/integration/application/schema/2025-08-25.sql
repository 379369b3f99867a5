-- Named checks, patients of their own, and a trigger that touches updated_at.
create table public.patients (
  id uuid primary key default gen_random_uuid(),
  patient_code text not null unique,
  created_at timestamptz default now()
);
create table public.therapy_sessions (
  id uuid primary key default gen_random_uuid(),
  file_path text not null unique,
  file_hash text not null unique,
  file_size_bytes bigint not null constraint size_is_positive check (file_size_bytes > 0),
  patient_id text references public.patients (patient_code),
  therapist_id uuid,
  original_filename text,
  original_sampling_rate real not null constraint rate_valid check (original_sampling_rate >= 0),
  original_duration_seconds real not null
    constraint duration_valid check (original_duration_seconds >= 0),
  original_sample_count integer not null
    constraint samples_valid check (original_sample_count >= 0),
  channel_count integer not null constraint channels_valid check (channel_count >= 0),
  channel_names jsonb not null default '[]',
  sampling_rate real not null default 0,
  duration_seconds real not null default 0,
  frame_count integer not null default 0 constraint frames_valid check (frame_count >= 0),
  game_metadata jsonb default '{}',
  analytics_cache jsonb default '{}',
  cache_hits integer default 0,
  last_accessed_at timestamptz default now(),
  processing_status text not null default 'pending' constraint status_valid check (
    processing_status in ('pending', 'processing', 'completed', 'failed', 'reprocessing')
  ),
  processing_error_message text,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);
create index therapy_sessions_by_rate on public.therapy_sessions (original_sampling_rate);

create function public.update_updated_at_column() returns trigger language plpgsql as $$
begin
  new.updated_at = now();
  return new;
end
$$;
create trigger update_therapy_sessions_updated_at before update on public.therapy_sessions
for each row execute function public.update_updated_at_column();

insert into public.patients (patient_code) select distinct patient_code from uploaded;
insert into public.therapy_sessions (
  file_path, file_hash, file_size_bytes, patient_id, therapist_id,
  original_sampling_rate, original_duration_seconds, original_sample_count,
  channel_count, channel_names, sampling_rate, duration_seconds, frame_count,
  game_metadata, processing_status, created_at, updated_at
)
select
  file_path, file_hash, size_bytes, patient_code, gen_random_uuid(),
  rate, seconds, samples, channels, to_jsonb(names), rate, seconds, samples,
  '{"level": "2"}', status, uploaded_at, uploaded_at
from uploaded;
