-- What a new Supabase project contains before its first migration, as far as this project needs it.
-- The superuser `supabase_admin` runs it, once per database; roles belong to the whole cluster.

-- Roles ----------------------------------------------------------------------------------------
do $$
declare
  role record;
begin
  for role in
    select * from (values
      ('anon', 'nologin noinherit'),
      ('authenticated', 'nologin noinherit'),
      ('service_role', 'nologin noinherit bypassrls'),
      ('authenticator', 'login noinherit'),
      ('dashboard_user', 'nologin createrole createdb replication'),
      ('supabase_auth_admin', 'login noinherit createrole'),
      ('supabase_storage_admin', 'login noinherit createrole'),
      ('supabase_realtime_admin', 'nologin noinherit'),
      ('postgres', 'login createrole createdb replication bypassrls')  -- no superuser, as hosted
    ) as roles (name, attributes)
  loop
    if to_regrole(role.name) is null then
      execute format('create role %I %s', role.name, role.attributes);
    end if;
  end loop;
  execute format('alter database %I owner to postgres', current_database());
end
$$;

grant anon, authenticated, service_role to authenticator, supabase_storage_admin;
grant anon, authenticated, service_role, authenticator, pg_monitor, pg_read_all_data,
  pg_signal_backend to postgres with admin option;
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role authenticator set search_path = public, extensions;
alter role postgres set search_path = "$user", public, extensions;
alter role postgres set statement_timeout = '2min';

-- extensions -----------------------------------------------------------------------------------
create schema extensions authorization postgres;
grant usage on schema extensions to public;
create extension pgcrypto with schema extensions;
create extension "uuid-ossp" with schema extensions;

-- public: usage, and since 2026-10-30 no default privileges -----------------------------------------
grant usage on schema public to anon, authenticated, service_role;

-- auth -----------------------------------------------------------------------------------------
create schema auth authorization supabase_admin;
grant all on schema auth to supabase_auth_admin, dashboard_user;
grant usage on schema auth
  to postgres, anon, authenticated, service_role, supabase_storage_admin;

create table auth.users (
  id uuid primary key,
  aud varchar(255),
  role varchar(255),
  email varchar(255),
  raw_app_meta_data jsonb,
  raw_user_meta_data jsonb,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);
alter table auth.users owner to supabase_auth_admin;
alter table auth.users enable row level security;
grant select, insert, update, delete, references, trigger on auth.users to postgres;

create function auth.jwt() returns jsonb language sql stable
  return nullif(current_setting('request.jwt.claims', true), '')::jsonb;
create function auth.uid() returns uuid language sql stable
  return (auth.jwt() ->> 'sub')::uuid;
create function auth.role() returns text language sql stable
  return auth.jwt() ->> 'role';

-- storage --------------------------------------------------------------------------------------
create schema storage authorization supabase_admin;
grant all on schema storage to supabase_storage_admin, dashboard_user;
grant usage on schema storage to postgres, anon, authenticated, service_role;

create table storage.buckets (
  id text primary key,
  name text not null,
  owner uuid,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  public boolean default false,
  avif_autodetection boolean default false,
  file_size_limit bigint,
  allowed_mime_types text[],
  owner_id text
);
create unique index bname on storage.buckets (name);

create table storage.objects (
  id uuid primary key default gen_random_uuid(),
  bucket_id text constraint "objects_bucketId_fkey" references storage.buckets (id),
  name text,
  owner uuid,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  last_accessed_at timestamptz default now(),
  metadata jsonb,
  path_tokens text[] generated always as (string_to_array(name, '/')) stored,
  version text,
  owner_id text,
  user_metadata jsonb,
  archived_at timestamptz,  -- these two since Storage 1.70: versions of objects, switched off
  is_delete_marker boolean not null default false
);
create unique index bucketid_objname on storage.objects (bucket_id, name);
create index name_prefix_search on storage.objects (name text_pattern_ops);

create function storage.foldername(name text) returns text[] language sql immutable
  return trim_array(string_to_array(name, '/'), 1);
create function storage.filename(name text) returns text language sql immutable
  return split_part(name, '/', -1);
create function storage.extension(name text) returns text language sql immutable
  return split_part(storage.filename(name), '.', -1);

alter table storage.buckets owner to supabase_storage_admin;
alter table storage.objects owner to supabase_storage_admin;
alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
grant all on storage.buckets, storage.objects to postgres, anon, authenticated, service_role;

-- In a hosted project the extension supautils lets `postgres` create policies and triggers on
-- storage.objects, and nothing else there. A membership and an event trigger replace it here.
grant supabase_storage_admin to postgres;
create function extensions.guard_storage() returns event_trigger language plpgsql as $$
declare
  command record;
begin
  if current_user <> 'postgres' then
    return;
  end if;
  for command in select * from pg_event_trigger_ddl_commands() loop
    if (command.schema_name = 'storage' or command.object_identity like 'storage.%')
      and command.command_tag not in ('CREATE TRIGGER', 'CREATE POLICY', 'ALTER POLICY')
    then
      raise exception 'must be owner of %', command.object_identity
        using errcode = 'insufficient_privilege';
    end if;
  end loop;
end
$$;
create event trigger guard_storage on ddl_command_end execute function extensions.guard_storage();

-- realtime -------------------------------------------------------------------------------------
create schema realtime authorization supabase_admin;
grant all on schema realtime to supabase_realtime_admin, dashboard_user;
grant usage on schema realtime to postgres, anon, authenticated, service_role;
create publication supabase_realtime;
alter publication supabase_realtime owner to postgres;

-- PostgREST reloads the schema when it changes -------------------------------------------------
create function extensions.pgrst_reload() returns event_trigger language plpgsql as $$
begin
  notify pgrst, 'reload schema';
end
$$;
create event trigger pgrst_ddl_watch on ddl_command_end execute function extensions.pgrst_reload();
create event trigger pgrst_drop_watch on sql_drop execute function extensions.pgrst_reload();
