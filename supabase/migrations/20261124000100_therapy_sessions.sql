-- The table of sessions: one row for each uploaded recording.
--
-- Reason: a session must exist the moment its file does, before anybody has read the file. So it
-- holds what the upload says, and nothing that only the content of the file can say.
--
-- Works on an empty database and beside an existing therapy_sessions. This migration adds what is
-- missing and keeps what is there. What it cannot complete stops it, with a count and the cure.
--
-- `supabase db push` prints an error's message and the statement that failed, but no hint and no
-- notice. So each cure stands in the message, and what may fail is a short call of a function.

set local lock_timeout = '5s';

-- On an empty database: the table and its key, whose other columns are added below ------------

do $$
begin
  if to_regclass('public.therapy_sessions') is null then
    create table public.therapy_sessions (id uuid primary key);
    -- Projects from before 2026-10-30 grant every new table to everybody.
    revoke all on table public.therapy_sessions from public, anon, authenticated;
  end if;
end
$$;

-- Beside an existing table: check everything before anything changes -------------------------

create or replace function pg_temp.column_problems()
returns setof text
language plpgsql
as $$
declare
  wanted record;
  old_type text;
  sessions bigint;
  affected bigint;
begin
  select count(*) into sessions from public.therapy_sessions;

  for wanted in
    select *
    from (values
      ('id', 'uuid', '{}'::text[], true),
      ('file_path', 'text', '{character varying}', true),
      ('file_hash', 'text', '{character varying}', true),
      ('file_size_bytes', 'integer', '{bigint}', true),
      ('patient_id', 'text', '{character varying, uuid}', false),
      ('processing_status', 'text', '{character varying}', false),
      ('original_filename', 'text', '{character varying}', true),
      ('game_metadata', 'jsonb', '{}', false),
      ('analytics_cache', 'jsonb', '{}', false),
      ('cache_hits', 'integer', '{bigint}', false),
      ('created_at', 'timestamp with time zone', '{timestamp without time zone}', false),
      ('updated_at', 'timestamp with time zone', '{timestamp without time zone}', false),
      ('last_accessed_at', 'timestamp with time zone', '{timestamp without time zone}', false)
    ) as columns_wanted (name, type, also_right, required)
  loop
    select format_type(atttypid, null) into old_type
    from pg_attribute
    where attrelid = 'public.therapy_sessions'::regclass
      and attname = wanted.name
      and not attisdropped;

    if old_type is null then
      -- The path gives a missing file name; no other required value can be made up.
      if wanted.required and sessions > 0 and wanted.name <> 'original_filename' then
        return next format(
          '%2$s sessions need a %1$I and there is no such column: alter table public.therapy_sessions add column %1$I %3$s, then fill it.',
          wanted.name, sessions, wanted.type
        );
      end if;
    elsif wanted.name = 'id' and old_type <> 'uuid' then
      return next format(
        'id is %s and has to be uuid, because everything refers to it. This project cannot change that: keep the table under another name, and its sessions stay as they are.',
        old_type
      );
    elsif old_type <> wanted.type and old_type <> all (wanted.also_right) then
      return next format(
        '%1$I is %2$s and has to be %3$s: alter table public.therapy_sessions alter column %1$I drop default, alter column %1$I type %3$s using %1$I::text::%3$s.',
        wanted.name, old_type, wanted.type
      );
    elsif wanted.required and wanted.name <> 'original_filename' then  -- the path gives that one
      execute format('select count(*) from public.therapy_sessions where %I is null', wanted.name)
        into affected;
      if affected > 0 then
        return next format(
          '%2$s of %3$s sessions have no %1$I: fill it or delete them, select * from public.therapy_sessions where %1$I is null.',
          wanted.name, affected, sessions
        );
      end if;
    end if;
  end loop;
end
$$;

-- A SHA-256 in upper case and the same one in lower case are one hash.
create or replace function pg_temp.hash_problems()
returns setof text
language sql
as $$
  select format(
    '%s of %s sessions share their file_hash with another: keep one of each, select lower(file_hash), array_agg(id) from public.therapy_sessions group by lower(file_hash), case when file_hash !~* ''^[0-9a-f]{64}$'' then file_hash end having count(*) > 1.',
    sum(holders), (select count(*) from public.therapy_sessions)
  )
  from (
    select count(*) as holders
    from (select null as file_hash) as without_such_a_column,
      lateral (select file_hash::text as hash from public.therapy_sessions) as old
    where hash is not null
    -- Most are in lower case, and need no regular expression.
    group by
      lower(hash),
      case when hash = lower(hash) then null when hash !~* '^[0-9a-f]{64}$' then hash end
    having count(*) > 1
  ) as shared
  having count(*) > 0
$$;

-- What this project will make may be there already, and somebody else's. Its own tables and views are
-- known by a column, its own functions by their empty search_path.
create or replace function pg_temp.name_problems()
returns setof text
language sql
as $$
  select format(
    '%1$I is not this project''s: alter %2$s public.%1$I rename to %3$I.',
    c.relname, case c.relkind when 'v' then 'view' else 'table' end, c.relname || '_before'
  )
  from (values
    ('set_aside', 'times'), ('worker_bells', 'rung_at'), ('worker_settings', 'only_row'),
    ('session_previews', 'made_at'),
    ('storage_intake', 'outcome'), ('session_overview', 'urgency'), ('upload_overview', 'urgency')
  ) as ours (name, mark)
  join pg_class as c on c.relname = ours.name and c.relnamespace = 'public'::regnamespace
  where not exists (
    select from pg_attribute as a where a.attrelid = c.oid and a.attname = ours.mark
  )
  union all
  select format(
    'The function %1$s is not this project''s: alter function %1$s rename to %2$I.',
    p.oid::regprocedure, p.proname || '_before'
  )
  from pg_proc as p
  where p.pronamespace = 'public'::regnamespace
    and not coalesce(p.proconfig, '{}') @> array['search_path=""']
    and p.proname in (
    'accept_foreign_session', 'announce_object', 'announce_objects', 'announce_upload',
    'cache_statistics', 'cached_statistics', 'channel_faults', 'claim_objects', 'claim_previews',
    'claim_sessions', 'code_of', 'complete_session', 'complete_sessions', 'count_cache_hit',
    'count_pending_objects', 'create_session', 'differing_values', 'end_of_object', 'end_preview',
    'explain_refusal', 'extend_lease', 'extend_object_leases', 'fail_session', 'fail_worn_out',
    'fault_of_completion', 'fill_patients', 'find_copy', 'find_patient', 'find_session',
    'finish_object', 'first_due', 'forget_measurement', 'forget_previews', 'has_object',
    'installation_report', 'invalidate_statistics', 'is_announcing', 'is_current', 'is_live',
    'is_outage', 'is_path_hash', 'is_rule_of', 'is_trouble', 'is_upload', 'look_at_queues',
    'lower_file_hash', 'note_uploads', 'object_path_in', 'patient_lookup', 'patient_type',
    'queue_report', 'release_objects', 'release_sessions', 'relink_session', 'requeue_session',
    'requeue_sessions', 'retake_objects', 'ring_probe', 'rows_estimated', 'schema_version',
    'send_upload_webhook', 'set_aside_session', 'set_patient', 'share_settings', 'size_said',
    'start_abandoned', 'start_sessions', 'start_waiting', 'still_due', 'take_object',
    'take_objects', 'technical_columns', 'touch_therapy_session', 'try_session', 'want_preview',
    'webhook_report', 'whose_session', 'write_technical_row'
    )
$$;

create or replace function pg_temp.check_therapy_sessions()
returns void
language plpgsql
as $$
declare
  problems text;
begin
  if (select relkind from pg_class where oid = 'public.therapy_sessions'::regclass) <> 'r' then
    raise exception 'public.therapy_sessions exists but is not a table. Rename it, then push again.';
  end if;

  select string_agg(E'\n- ' || problem, '') into problems
  from (
    select pg_temp.column_problems() as problem
    union all
    select pg_temp.hash_problems()
    union all
    select pg_temp.name_problems()
  ) as found;
  if problems is not null then
    raise exception 'public.therapy_sessions cannot be taken over yet, and nothing was changed. Repair each of these, then push again:%',
      problems;
  end if;
end
$$;

select pg_temp.check_therapy_sessions();
drop function
  pg_temp.check_therapy_sessions(), pg_temp.column_problems(), pg_temp.hash_problems(),
  pg_temp.name_problems();

-- Columns: added where they are missing, then constrained ------------------------------------
-- A time that was not recorded stays NULL; only new rows get a default. What can be filled in is filled
-- by a later migration, because nobody can read the table until this one has ended.

set local client_min_messages = warning;  -- no notice for each column that is there

alter table public.therapy_sessions
  add column if not exists id uuid default gen_random_uuid(),
  add column if not exists file_path text,
  add column if not exists file_hash text,
  add column if not exists file_size_bytes integer,
  add column if not exists patient_id text,
  add column if not exists processing_status text,
  add column if not exists original_filename text,
  add column if not exists game_metadata jsonb default '{}',
  add column if not exists analytics_cache jsonb default '{}',
  add column if not exists cache_hits integer default 0,
  add column if not exists created_at timestamptz,
  add column if not exists updated_at timestamptz,
  add column if not exists last_accessed_at timestamptz;

set local client_min_messages = notice;

alter table public.therapy_sessions
  alter id set default gen_random_uuid(), alter id set not null,
  alter file_path set not null,
  alter file_hash set not null,
  alter file_size_bytes set not null,
  alter patient_id drop not null,
  alter processing_status set default 'pending',
  alter game_metadata set default '{}',
  alter analytics_cache set default '{}',
  alter cache_hits set default 0,
  alter created_at set default now(),
  alter updated_at set default now(),
  alter last_accessed_at set default now();

-- A hash of the old system may be shorter than the SHA-256 that takes its place.
create or replace function pg_temp.widen_file_hash()
returns void
language plpgsql
as $$
declare
  dependents text;
begin
  if exists (
    select from pg_attribute
    where attrelid = 'public.therapy_sessions'::regclass and attname = 'file_hash'
      and atttypid = 'character varying'::regtype and atttypmod between 0 and 64 + 3
  ) then
    alter table public.therapy_sessions alter column file_hash type text;
  end if;
exception when feature_not_supported then
  get stacked diagnostics dependents = pg_exception_detail;
  raise exception 'therapy_sessions.file_hash is too narrow for a SHA-256 and something reads it (%), so nothing was changed. Drop that, alter table public.therapy_sessions alter column file_hash type text, make it again, then push again.',
    dependents;
end
$$;

select pg_temp.widen_file_hash();
drop function pg_temp.widen_file_hash();

do $$
declare
  in_the_way record;
begin
  if not exists (
    select from pg_constraint
    where conrelid = 'public.therapy_sessions'::regclass and contype = 'p'
  ) then
    alter table public.therapy_sessions add constraint therapy_sessions_pkey primary key (id);
  end if;

  -- c3d_technical_data refers to id, so id has to be unique even where another column is the key.
  if not exists (
    select from pg_index
    where indrelid = 'public.therapy_sessions'::regclass
      and indisunique and indimmediate and indisvalid and indpred is null and indexprs is null
      and indnkeyatts = 1
      and indkey[0] = (
        select attnum from pg_attribute where attrelid = indrelid and attname = 'id'
      )
  ) then
    alter table public.therapy_sessions add constraint therapy_sessions_id_key unique (id);
  end if;

  -- A column that only the old system fills must not refuse this worker's sessions.
  for in_the_way in
    select attname from pg_attribute
    where attrelid = 'public.therapy_sessions'::regclass
      and attnum > 0 and not attisdropped
      and attnotnull and not atthasdef and attidentity = ''
      and attname not in ('id', 'file_path', 'file_hash', 'file_size_bytes', 'processing_status', 'original_filename')
      and attnum <> all (coalesce((
        select conkey from pg_constraint
        where conrelid = attrelid and contype = 'p'
      ), '{}'))
  loop
    raise warning 'therapy_sessions.% is NOT NULL without a default, so this worker cannot create sessions: drop that NOT NULL, or give it a default.',
      in_the_way.attname;
  end loop;
end
$$;

-- Triggers -----------------------------------------------------------------------------------
-- Other programs may write a SHA-256 in upper case. In one spelling, the unique index sees that two
-- sessions hold the same recording.

create or replace function public.lower_file_hash()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if new.file_hash ~* '^[0-9a-f]{64}$' then
    new.file_hash := lower(new.file_hash);
  end if;
  return new;
end
$$;

revoke execute on function public.lower_file_hash() from public, anon, authenticated;
comment on function public.lower_file_hash() is
  'Writes a SHA-256 in lower case. Called by the trigger of the same name.';

create or replace trigger lower_file_hash
before insert or update of file_hash on public.therapy_sessions
for each row execute function public.lower_file_hash();

-- A hit of the cache is counted on the session's row and is not a change of the session. Rows are
-- compared byte by byte, because an old table may hold columns whose type has no equality.

create or replace function public.touch_therapy_session()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
declare
  looked_at public.therapy_sessions := old;
begin
  looked_at.cache_hits := new.cache_hits;
  looked_at.last_accessed_at := new.last_accessed_at;
  if new operator(pg_catalog.*<>) looked_at then
    new.updated_at := now();
  end if;
  return new;
end
$$;

revoke execute on function public.touch_therapy_session() from public, anon, authenticated;
comment on function public.touch_therapy_session() is
  'Keeps updated_at, which the hits of the cache do not move. Called by the trigger of the same name.';

create or replace trigger touch_therapy_session
before update on public.therapy_sessions
for each row execute function public.touch_therapy_session();

-- Comments -----------------------------------------------------------------------------------

comment on table public.therapy_sessions is
  'One row for each uploaded recording: the file, the patient, and how far its reading has come. To look at, use the view session_overview.';
comment on column public.therapy_sessions.id is
  'The session''s id, by which everything else refers to it.';
comment on column public.therapy_sessions.file_path is 'Path of the recording in the bucket.';
comment on column public.therapy_sessions.file_hash is
  'SHA-256 of the file''s content, 64 hex digits in lower case; unique, so the same recording never gets a second session. Other text comes from the old system and is replaced when the file is read.';
comment on column public.therapy_sessions.file_size_bytes is 'Size of the file in bytes, as it was uploaded.';
comment on column public.therapy_sessions.patient_id is
  'The patient: the code from the path (P005/…), or, with a table of patients, that patient''s key in it. Empty when the path names none, or while the table does not have it.';
comment on column public.therapy_sessions.processing_status is
  'pending: it waits to be read. processing: a worker has claimed it. completed: its technical row exists. failed: processing_error says why, and the cure. skipped: there is no recording to read.';
comment on column public.therapy_sessions.original_filename is 'Name of the file as it was uploaded.';
comment on column public.therapy_sessions.game_metadata is
  'What is known of the game: level, score, version, duration. The file fills in missing keys; existing ones stay.';
comment on column public.therapy_sessions.analytics_cache is
  'Cached results. This project writes only the key channel_statistics.';
comment on column public.therapy_sessions.cache_hits is
  'How often a cached result was used instead of reading the file again.';
comment on column public.therapy_sessions.created_at is 'When the session was created, right after its upload.';
comment on column public.therapy_sessions.updated_at is
  'When any value of this row last changed, except cache_hits and last_accessed_at.';
comment on column public.therapy_sessions.last_accessed_at is 'When a cached result was last used.';
