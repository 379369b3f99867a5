"""Databases as the old system left them: a `therapy_sessions` that also holds technical values."""

from __future__ import annotations

from typing import Final

CONTENT_HASH: Final = "ab" * 32  # 64 hex digits, as a SHA-256
REAL_NAMES: Final = ["CH1 Raw", "", "CH2 Raw"]
TECHNICAL_COLUMNS: Final = (
    "original_sampling_rate",
    "original_duration_seconds",
    "original_sample_count",
    "channel_count",
    "channel_names",
    "sampling_rate",
    "duration_seconds",
    "frame_count",
)

_SESSION_COLUMNS: Final = """
  id uuid primary key default gen_random_uuid(),
  file_path text not null unique,
  file_hash text not null unique,
  file_size_bytes bigint not null check (file_size_bytes > 0),
  patient_id text,
  original_filename text not null,
  processing_status text default 'pending',
  processing_error_message text,
  game_metadata jsonb default '{}'::jsonb,
  analytics_cache jsonb default '{}'::jsonb,
  cache_hits integer default 0,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  last_accessed_at timestamptz default now()
"""

# Every technical column NOT NULL with an invented default, with checks and indexes on them.
JSON_NAMES: Final = f"""
create table public.therapy_sessions ({_SESSION_COLUMNS},
  original_sampling_rate double precision not null default 0,
  original_duration_seconds double precision not null default 0
    constraint duration_not_negative check (original_duration_seconds >= 0),
  original_sample_count bigint not null default 0,
  channel_count integer not null default 0 check (channel_count >= 0),
  channel_names jsonb not null default '[]',
  sampling_rate numeric not null default 0,
  duration_seconds numeric(10, 3) not null default 0,
  frame_count integer not null default 0,
  constraint counts_agree check (channel_count = 0 or frame_count >= 0)
);
create index sessions_by_rate on public.therapy_sessions (sampling_rate);
create index sessions_by_path_and_count on public.therapy_sessions (file_path, channel_count);
insert into public.therapy_sessions (
  file_path, file_hash, file_size_bytes, original_filename, processing_status,
  original_sampling_rate, original_duration_seconds, original_sample_count,
  channel_count, channel_names, sampling_rate, duration_seconds, frame_count
) values
  ('P005/full.c3d', '{CONTENT_HASH}', 3000000000, 'full.c3d', 'completed',
   990, 75.03030303030303, 74280, 4, '["CH1 Raw", "", null, "CH2 Raw"]', 33.000, 75.030, 2476),
  ('P005/some.c3d', 'path:some', 17, 'some.c3d', 'completed',
   1000.5, 0, 0, 0, '["unknown", ""]', 0, 0, 0),
  ('P005/none.c3d', 'path:none', 18, 'none.c3d', 'completed',
   0, 0, 0, 0, '[]', 0, 0, 0),
  ('P006/names.c3d', 'path:names', 19, 'names.c3d', 'failed',
   0, 'NaN', 0, 0, '["EMG1"]', 0, 0, 0),
  ('P006/object.c3d', 'path:object', 20, 'object.c3d', 'pending',
   0, 0, 0, 0, '{{}}', 0, 0, 0),
  ('P006/word.c3d', 'path:word', 21, 'word.c3d', 'pending',
   0, 0, 0, 0, '"unknown"', 0, 0, 0);
"""

# Some of the columns, nullable, names as an array, counts as floating point.
ARRAY_NAMES: Final = f"""
create table public.therapy_sessions ({_SESSION_COLUMNS},
  sampling_rate real,
  channel_names text[] default array[]::text[],
  frame_count double precision
);
insert into public.therapy_sessions (
  file_path, file_hash, file_size_bytes, original_filename, processing_status,
  sampling_rate, channel_names, frame_count
) values
  ('full.c3d', '{CONTENT_HASH}', 16, 'full.c3d', 'completed', 59.94,
   array['CH1 Raw', '', 'CH2 Raw'], 2476),
  ('blank.c3d', 'path:blank', 17, 'blank.c3d', 'completed', null, array['', ' Unknown '], 0),
  ('empty.c3d', 'path:empty', 18, 'empty.c3d', 'completed', 'infinity', '{{}}', null);
"""

# The shape of one system in the field: technical values apart already, no file name, statuses
# of its own, a check that forbids recordings without analog channels.
SPLIT_ALREADY: Final = f"""
create table public.therapy_sessions (
  id uuid not null default gen_random_uuid() primary key,
  file_path text not null unique,
  file_hash text not null unique,
  file_size_bytes bigint not null check (file_size_bytes > 0),
  patient_id text,
  session_date timestamptz,
  processing_status text default 'pending' check (processing_status = any (
    array['pending', 'processing', 'completed', 'failed', 'reprocessing', 'it''s odd'])),
  processing_error_message text,
  created_at timestamptz default now()
);
create table public.c3d_technical_data (
  session_id uuid primary key references public.therapy_sessions (id),
  original_sampling_rate real check (original_sampling_rate is null or original_sampling_rate > 0),
  channel_count integer not null default 1 check (channel_count is null or channel_count > 0),
  channel_names text[] default array[]::text[]
);
alter table public.therapy_sessions enable row level security;
create policy own_sessions on public.therapy_sessions for select to authenticated using (true);
grant select on public.therapy_sessions to authenticated;
insert into public.therapy_sessions (file_path, file_hash, file_size_bytes, processing_status)
values
  ('P001/read.c3d', '{CONTENT_HASH}', 11, 'completed'),
  ('P001/unread.c3d', 'h2', 12, 'completed'),
  ('P001/again.c3d', 'h3', 13, 'reprocessing'),
  ('P001/odd.c3d', 'h4', 14, 'it''s odd'),
  ('P001/held.c3d', 'h5', 15, 'processing'),
  ('P001/null.c3d', 'h6', 16, null);
insert into public.c3d_technical_data (session_id, original_sampling_rate, channel_count)
select id, 990, 2 from public.therapy_sessions where file_path = 'P001/read.c3d';
"""

# Required values that nobody can make up.
INCOMPLETE: Final = """
create table public.therapy_sessions (
  id uuid primary key default gen_random_uuid(),
  file_path text,
  file_hash text,
  original_filename text,
  patient_id uuid
);
insert into public.therapy_sessions (file_path, file_hash, original_filename) values
  ('a.c3d', 'same', 'a.c3d'),
  ('b.c3d', 'same', null),
  ('c.c3d', null, null),
  (null, 'other', 'd.c3d');
"""

# One SHA-256 in upper and in lower case; texts that differ in case only are two hashes.
TWO_SPELLINGS: Final = f"""
create table public.therapy_sessions ({_SESSION_COLUMNS});
insert into public.therapy_sessions (file_path, file_hash, file_size_bytes, original_filename)
values
  ('P005/upper.c3d', '{CONTENT_HASH.upper()}', 16, 'upper.c3d'),
  ('P005/lower.c3d', '{CONTENT_HASH}', 16, 'lower.c3d'),
  ('P005/a.c3d', 'path:a', 17, 'a.c3d'),
  ('P005/b.c3d', 'path:A', 18, 'b.c3d');
"""
