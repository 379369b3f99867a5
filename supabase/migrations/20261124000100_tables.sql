-- The two tables: a session is what was uploaded, its technical row is what the file says.
--
-- Reason: a session must exist the moment its file does, before anybody has read the file. The
-- technical values live in a table of their own, which has no row until they are known, so that
-- no value ever has to be invented.
--
-- Works from nothing and beside an existing therapy_sessions: what is missing is added, what is
-- there stays, and what cannot be completed stops the migration with its count and the cure.
--
-- `supabase db push` prints an error's message and the statement that failed, but no hint and no
-- notice. So each cure stands in the message, and what may fail is a short call of a function.

set local lock_timeout = '5s';

-- From nothing ------------------------------------------------------------------------------

do $$
begin
  if to_regclass('public.therapy_sessions') is null then
    create table public.therapy_sessions (
      id uuid primary key default gen_random_uuid(),
      file_path text not null,
      file_hash text not null constraint therapy_sessions_file_hash_key unique,
      file_size_bytes integer not null,
      patient_id text,
      processing_status text not null default 'pending',
      original_filename text not null,
      game_metadata jsonb default '{}',
      analytics_cache jsonb default '{}',
      cache_hits integer default 0,
      created_at timestamptz default now(),
      updated_at timestamptz default now(),
      last_accessed_at timestamptz default now()
    );
    -- Projects from before 2026-10-30 grant every new table to everybody.
    revoke all on table public.therapy_sessions from public, anon, authenticated;
  end if;
end
$$;

-- Beside an existing therapy_sessions: look before anything is touched -----------------------

create or replace function pg_temp.check_therapy_sessions()
returns void
language plpgsql
as $$
declare
  wanted record;
  old_type text;
  sessions bigint;
  affected bigint;
  problems text[] := '{}';
begin
  if (select relkind from pg_class where oid = 'public.therapy_sessions'::regclass) <> 'r' then
    raise exception 'public.therapy_sessions exists but is no table. Rename it, then push again.';
  end if;

  select count(*) into sessions from public.therapy_sessions;

  for wanted in
    select *
    from (values
      ('id', 'uuid', '{}'::text[], true),
      ('file_path', 'text', '{character varying}', true),
      ('file_hash', 'text', '{character varying}', true),
      ('file_size_bytes', 'integer', '{bigint}', true),
      ('patient_id', 'text', '{character varying}', false),
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
      -- A file name can be read off the path; no other required value can be made up.
      if wanted.required and sessions > 0 and wanted.name <> 'original_filename' then
        problems := problems || format(
          '%2$s sessions need a %1$I and there is no such column: alter table public.therapy_sessions add column %1$I %3$s, then fill it.',
          wanted.name, sessions, wanted.type
        );
      end if;
      continue;
    end if;

    if old_type <> wanted.type and old_type <> all (wanted.also_right) then
      problems := problems || format(
        '%1$I is %2$s and has to be %3$s: alter table public.therapy_sessions alter column %1$I drop default, alter column %1$I type %3$s using %1$I::text::%3$s.',
        wanted.name, old_type, wanted.type
      );
      continue;
    end if;

    if wanted.required then
      execute format('select count(*) from public.therapy_sessions where %I is null', wanted.name)
        into affected;
      if affected > 0 then
        problems := problems || format(
          case wanted.name
            when 'original_filename' then
              '%2$s of %3$s sessions have no %1$I: update public.therapy_sessions set original_filename = regexp_replace(file_path, ''^.*/'', '''') where original_filename is null.'
            else
              '%2$s of %3$s sessions have no %1$I: fill it or delete them, select * from public.therapy_sessions where %1$I is null.'
          end,
          wanted.name, affected, sessions
        );
      end if;
    end if;

    if wanted.name = 'file_hash' then
      select count(*) into affected
      from (
        select count(*) over (partition by file_hash) as holders
        from public.therapy_sessions
        where file_hash is not null
      ) as hashes
      where holders > 1;
      if affected > 0 then
        problems := problems || format(
          '%s of %s sessions share their file_hash with another: keep one of each, select file_hash, array_agg(id) from public.therapy_sessions group by file_hash having count(*) > 1.',
          affected, sessions
        );
      end if;
    end if;
  end loop;

  if problems <> '{}' then
    raise exception E'public.therapy_sessions cannot be taken over yet, and nothing was changed. Repair each of these, then push again:\n- %',
      array_to_string(problems, E'\n- ');
  end if;
end
$$;

select pg_temp.check_therapy_sessions();
drop function pg_temp.check_therapy_sessions();

-- Columns one by one: nullable, filled, then constrained -------------------------------------
-- Times nobody recorded stay NULL; only rows from now on get a default.

set local client_min_messages = warning;  -- not a word for each column that is there

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

update public.therapy_sessions
set original_filename = regexp_replace(file_path, '^.*/', '')
where original_filename is null;

update public.therapy_sessions
set processing_status = 'pending'
where processing_status is null;

alter table public.therapy_sessions
  alter column id set default gen_random_uuid(),
  alter column id set not null,
  alter column file_path set not null,
  alter column file_hash set not null,
  alter column file_size_bytes set not null,
  alter column patient_id drop not null,
  alter column processing_status set default 'pending',
  alter column processing_status set not null,
  alter column original_filename set not null,
  alter column game_metadata set default '{}',
  alter column analytics_cache set default '{}',
  alter column cache_hits set default 0,
  alter column created_at set default now(),
  alter column updated_at set default now(),
  alter column last_accessed_at set default now();

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
      and indkey[0] = (select attnum from pg_attribute where attrelid = indrelid and attname = 'id')
  ) then
    alter table public.therapy_sessions add constraint therapy_sessions_id_key unique (id);
  end if;

  if not exists (
    select from pg_index
    where indrelid = 'public.therapy_sessions'::regclass
      and indisunique and indimmediate and indisvalid and indpred is null and indexprs is null
      and indnkeyatts = 1
      and indkey[0] = (select attnum from pg_attribute where attrelid = indrelid and attname = 'file_hash')
  ) then
    alter table public.therapy_sessions add constraint therapy_sessions_file_hash_key unique (file_hash);
  end if;

  -- A column of the old system which this worker knows nothing of must not refuse its sessions.
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

-- The technical table, from nothing or beside an earlier one ---------------------------------

do $$
begin
  if to_regclass('public.c3d_technical_data') is null then
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
  alter column original_sampling_rate drop not null,
  alter column original_sampling_rate drop default,
  alter column original_duration_seconds drop not null,
  alter column original_duration_seconds drop default,
  alter column original_sample_count drop not null,
  alter column original_sample_count drop default,
  alter column channel_count drop not null,
  alter column channel_count drop default,
  alter column channel_names drop not null,
  alter column channel_names drop default,
  alter column sampling_rate drop not null,
  alter column sampling_rate drop default,
  alter column duration_seconds drop not null,
  alter column duration_seconds drop default,
  alter column frame_count drop not null,
  alter column frame_count drop default,
  alter column extracted_at drop not null,
  alter column extracted_at set default now();

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
    raise exception 'public.c3d_technical_data exists, but may hold several rows for one session. Delete all but one of each, then: alter table public.c3d_technical_data add unique (session_id), and push again. Nothing was changed.';
  end if;

  if (
    select atttypid from pg_attribute
    where attrelid = 'public.c3d_technical_data'::regclass
      and attname = 'channel_names' and not attisdropped
  ) <> 'text[]'::regtype then
    raise exception 'public.c3d_technical_data exists, but its channel_names are no text[]. Rename that table and push again: this project makes its own and reads every file anew. Nothing was changed.';
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

-- updated_at ---------------------------------------------------------------------------------

create or replace function public.touch_therapy_session()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.updated_at := now();
  return new;
end
$$;

revoke execute on function public.touch_therapy_session() from public, anon, authenticated;

create or replace trigger touch_therapy_session
before update on public.therapy_sessions
for each row execute function public.touch_therapy_session();

-- What was there stays: say what it is -------------------------------------------------------

do $$
declare
  kept text;
begin
  select string_agg(line, E'\n' order by line) into kept
  from (
    select format('- policy %I on %I', policyname, tablename) as line
    from pg_policies
    where schemaname = 'public' and tablename in ('therapy_sessions', 'c3d_technical_data')
    union all
    select format('- %s on %I to %I', string_agg(lower(privilege_type), ', ' order by privilege_type), table_name, grantee)
    from information_schema.role_table_grants
    where table_schema = 'public'
      and table_name in ('therapy_sessions', 'c3d_technical_data')
      and grantee not in ('postgres', 'service_role', current_user)
    group by table_name, grantee
  ) as lines;

  if kept is not null then
    raise notice E'Existing policies and grants are left as they are; check that they are still wanted:\n%', kept;
  end if;
end
$$;
