-- The technical table: one row for each session whose file has been read.
--
-- Reason: a session exists before anybody has read its file. Its technical values live in a table
-- of their own, which has no row until they are known, so that no value ever has to be invented.
--
-- Works on an empty database and beside an existing table, whose rows and other columns stay. No
-- column is required and none has a default, because empty means that the file does not say.

set local lock_timeout = '5s';

-- Table --------------------------------------------------------------------------------------

do $$
begin
  if to_regclass('public.c3d_technical_data') is null then
    create table public.c3d_technical_data (
      session_id uuid primary key references public.therapy_sessions (id) on delete cascade
    );
    revoke all on table public.c3d_technical_data from public, anon, authenticated;
  end if;
end
$$;

set local client_min_messages = warning;

alter table public.c3d_technical_data
  add column if not exists original_sampling_rate real,
  add column if not exists original_duration_seconds real,
  add column if not exists original_sample_count integer,
  add column if not exists channel_count integer,
  add column if not exists channel_names text[],
  add column if not exists sampling_rate real,
  add column if not exists duration_seconds real,
  add column if not exists frame_count integer,
  add column if not exists extracted_at timestamptz;

set local client_min_messages = notice;

alter table public.c3d_technical_data
  alter original_sampling_rate drop not null, alter original_sampling_rate drop default,
  alter original_duration_seconds drop not null, alter original_duration_seconds drop default,
  alter original_sample_count drop not null, alter original_sample_count drop default,
  alter channel_count drop not null, alter channel_count drop default,
  alter channel_names drop not null, alter channel_names drop default,
  alter sampling_rate drop not null, alter sampling_rate drop default,
  alter duration_seconds drop not null, alter duration_seconds drop default,
  alter frame_count drop not null, alter frame_count drop default,
  alter extracted_at drop not null, alter extracted_at set default now();

create or replace function pg_temp.check_technical_data()
returns void
language plpgsql
as $$
declare
  rule record;
  allows_no_channels boolean;
begin
  if not exists (
    select from pg_index
    where indrelid = 'public.c3d_technical_data'::regclass
      and indisunique and indimmediate and indisvalid and indpred is null and indexprs is null
      and indnkeyatts = 1
      and indkey[0] = (
        select attnum from pg_attribute where attrelid = indrelid and attname = 'session_id'
      )
  ) then
    raise exception 'public.c3d_technical_data exists, but may hold several rows for one session. Delete all but one of each, then: alter table public.c3d_technical_data add unique (session_id), and push again. This migration changed nothing.';
  end if;

  if (
    select atttypid from pg_attribute
    where attrelid = 'public.c3d_technical_data'::regclass
      and attname = 'channel_names' and not attisdropped
  ) <> 'text[]'::regtype then
    raise exception 'public.c3d_technical_data exists, but its channel_names are not text[]. Rename that table and push again: this project makes its own and reads every file anew. This migration changed nothing.';
  end if;

  -- A recording without analog channels is a fact, which an earlier check may forbid.
  for rule in
    select conname, pg_get_expr(conbin, conrelid) as expression
    from pg_constraint
    where conrelid = 'public.c3d_technical_data'::regclass
      and contype = 'c'
      and conkey = array[(
        select attnum from pg_attribute where attrelid = conrelid and attname = 'channel_count'
      )]
  loop
    execute format('select (%s) from (select 0 as channel_count) as no_channels', rule.expression)
      into allows_no_channels;
    if not allows_no_channels then
      execute format('alter table public.c3d_technical_data drop constraint %I', rule.conname);
      raise notice 'Dropped % from c3d_technical_data: it forbids a recording without analog channels.',
        rule.conname;
    end if;
  end loop;
end
$$;

select pg_temp.check_technical_data();
drop function pg_temp.check_technical_data();

-- Comments -----------------------------------------------------------------------------------
-- A C3D recording is a row of frames. A frame holds one set of POINT values (the frame clock,
-- what a motion camera or a game would record) and one or more samples of every ANALOG channel
-- (the EMG signal). So the EMG signal has a faster clock of its own: its rate is the number of
-- samples per frame times the number of frames per second.

comment on table public.c3d_technical_data is
  'What the recording says of itself, one row for each session whose file has been read. No value here is made up: empty means that the file does not say.';
comment on column public.c3d_technical_data.session_id is 'The session whose file this is.';
comment on column public.c3d_technical_data.original_sampling_rate is
  'EMG samples per second of each channel, in Hz (ANALOG:RATE). Empty when there are no ANALOG channels or the file states no plausible rate.';
comment on column public.c3d_technical_data.original_duration_seconds is
  'Length of the EMG signal in seconds: original_sample_count divided by original_sampling_rate.';
comment on column public.c3d_technical_data.original_sample_count is
  'EMG samples in each channel: frames times samples per frame.';
comment on column public.c3d_technical_data.channel_count is
  'Number of ANALOG channels (ANALOG:USED). May be 0.';
comment on column public.c3d_technical_data.channel_names is
  'Names of the ANALOG channels in the order of the file (ANALOG:LABELS). An empty name is a channel that the file does not name.';
comment on column public.c3d_technical_data.sampling_rate is
  'Frames per second, in Hz (POINT:RATE): the clock of points and game, not of the EMG signal.';
comment on column public.c3d_technical_data.duration_seconds is
  'Length of the recording on the frame clock in seconds: frame_count divided by sampling_rate.';
comment on column public.c3d_technical_data.frame_count is 'Number of frames, confirmed by the length of the file.';
comment on column public.c3d_technical_data.extracted_at is
  'When the worker read the file. Empty for values taken over from the old system: read them again with `c3d-worker requeue --migrated`.';
