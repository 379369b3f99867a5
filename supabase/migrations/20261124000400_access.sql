-- Who may do what: the worker's service_role everything it needs, everybody else nothing.
--
-- Reason: these are health data. Row level security is on and has no policy, so a table that is
-- granted by mistake still shows no row. Grants are written out, because newer projects grant
-- nothing by default; functions are revoked first, because EXECUTE goes to everybody by default.
--
-- Also the two doors that sessions come in by: the private bucket and the Realtime publication.

set local lock_timeout = '5s';

-- Tables -------------------------------------------------------------------------------------

alter table public.therapy_sessions enable row level security;
alter table public.c3d_technical_data enable row level security;

grant usage on schema public to service_role;
grant select, insert, update, delete on public.therapy_sessions to service_role;
grant select, insert, update, delete on public.c3d_technical_data to service_role;

-- Functions ----------------------------------------------------------------------------------

revoke execute on function
  public.claim_sessions(uuid, integer, integer, integer),
  public.complete_session(uuid, uuid, jsonb, text, jsonb, jsonb),
  public.fail_session(uuid, uuid, text, text, integer, double precision),
  public.release_sessions(uuid[], uuid[], double precision),
  public.extend_lease(uuid[], uuid[], integer),
  public.requeue_session(uuid, text, boolean)
from public, anon, authenticated;

grant execute on function
  public.claim_sessions(uuid, integer, integer, integer),
  public.complete_session(uuid, uuid, jsonb, text, jsonb, jsonb),
  public.fail_session(uuid, uuid, text, text, integer, double precision),
  public.release_sessions(uuid[], uuid[], double precision),
  public.extend_lease(uuid[], uuid[], integer),
  public.requeue_session(uuid, text, boolean)
to service_role;

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
    raise warning 'The publication supabase_realtime sends no inserts: new sessions wait for the sweep.'
      using hint = 'alter publication supabase_realtime set (publish = ''insert, update, delete, truncate'')';
  end if;
exception when insufficient_privilege then
  -- A bell that does not ring delays a session until the next sweep; it loses none.
  raise warning 'The publication supabase_realtime belongs to another role: therapy_sessions was not added.'
    using hint = 'Add it in the dashboard under Database, Publications.';
end
$$;
