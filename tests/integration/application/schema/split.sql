-- Technical values in a table of their own, as the application read them, and a view joining both.
create table public.therapy_sessions (
  id uuid primary key default gen_random_uuid(),
  file_path text not null unique,
  file_hash text not null unique,
  file_size_bytes bigint not null,
  patient_id text,
  original_filename text,
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
create table public.c3d_technical_data (
  session_id uuid primary key references public.therapy_sessions (id) on delete cascade,
  original_sampling_rate real,
  original_duration_seconds real,
  original_sample_count integer,
  channel_count integer,
  channel_names text[],
  sampling_rate real,
  duration_seconds real,
  frame_count integer,
  extracted_at timestamptz default now()
);
create view public.therapy_sessions_with_technical as
select s.*, t.original_sampling_rate, t.channel_count, t.channel_names
from public.therapy_sessions as s
left join public.c3d_technical_data as t on t.session_id = s.id;

insert into public.therapy_sessions (
  file_path, file_hash, file_size_bytes, patient_id, processing_status, created_at, updated_at
)
select file_path, file_hash, size_bytes, patient_code, status, uploaded_at, uploaded_at
from uploaded;
insert into public.c3d_technical_data
select s.id, u.rate, u.seconds, u.samples, u.channels, u.names, u.rate, u.seconds, u.samples, now()
from uploaded as u
join public.therapy_sessions as s using (file_path)
where s.processing_status = 'completed';
