-- Who may do what: the worker's service_role everything it needs, everybody else nothing.
--
-- Reason: these are health data. Row level security is on and has no policy, so a table that is
-- granted by mistake still shows no row. Grants are written out, because newer projects grant
-- nothing by default. Every function revokes EXECUTE where it is defined, because by default
-- everybody has it.
--
-- Also what sessions pass through on their way to the worker: the private bucket, and the
-- publication that Realtime reads.

set local lock_timeout = '5s';

-- Tables -------------------------------------------------------------------------------------

alter table public.therapy_sessions enable row level security;
alter table public.c3d_technical_data enable row level security;

grant usage on schema public to service_role;
grant select, insert, update, delete on public.therapy_sessions to service_role;
grant select, insert, update, delete on public.c3d_technical_data to service_role;

-- Policies and grants that the project has already -------------------------------------------

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

-- The private bucket -------------------------------------------------------------------------

do $$
declare
  is_public boolean;
begin
  if to_regclass('storage.buckets') is null then
    raise notice 'This database has no Storage: the bucket c3d-files was not made.';
    return;
  end if;

  insert into storage.buckets (id, name, public)
  values ('c3d-files', 'c3d-files', false)
  on conflict (id) do nothing;

  select buckets.public into is_public from storage.buckets where buckets.id = 'c3d-files';
  if is_public then
    raise warning 'The bucket c3d-files is public: anybody who knows a path can download that recording.'
      using hint = 'update storage.buckets set public = false where id = ''c3d-files''';
  end if;
end
$$;

-- The publication that Realtime reads --------------------------------------------------------

do $$
declare
  sends_inserts boolean;
begin
  if not exists (select from pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
  end if;

  if not exists (
    select from pg_publication_tables
    where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'therapy_sessions'
  ) then
    alter publication supabase_realtime add table public.therapy_sessions;
  end if;

  select pubinsert into sends_inserts from pg_publication where pubname = 'supabase_realtime';
  if not sends_inserts then
    raise warning 'The publication supabase_realtime sends no inserts: new sessions wait for the next poll.'
      using hint = 'alter publication supabase_realtime set (publish = ''insert, update, delete, truncate'')';
  end if;
exception when insufficient_privilege then
  -- Realtime only wakes the worker: without it a session waits for the next poll.
  raise warning 'The publication supabase_realtime belongs to another role: therapy_sessions was not added.'
    using hint = 'Add it in the dashboard under Database, Publications.';
end
$$;
