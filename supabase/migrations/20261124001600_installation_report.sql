-- What `c3d-worker check` cannot see through the API: how this project is set up inside.
--
-- Reason: a wrong installation fails in silence. A publication without the table wakes no worker, a
-- secret that differs refuses every webhook, an old grant opens health data. One call tells it all,
-- from the system catalogs, which every role may read, and the workers' own settings.
--
-- Vault is the exception: the caller may not be able to read it. A function of its own reads it as
-- its owner, and tells of the secret its form and its SHA-256, never the secret itself.

set local lock_timeout = '5s';

-- The webhook in Vault -----------------------------------------------------------------------

create or replace function public.webhook_report()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  address text;
  secret text;
begin
  if to_regclass('vault.decrypted_secrets') is null then
    return jsonb_build_object('vault', false);
  end if;

  select s.decrypted_secret into address
  from vault.decrypted_secrets as s
  where s.name = 'c3d_webhook_url';
  select s.decrypted_secret into secret
  from vault.decrypted_secrets as s
  where s.name = 'c3d_webhook_secret';

  return jsonb_build_object(
    'vault', true,
    -- An address can hold a password or a token: only where it leads is told.
    'url', regexp_replace(regexp_replace(address, '[?#].*$', ''), '^([a-zA-Z]+://)[^/]*@', '\1'),
    'secret_well_formed', secret ~ '^whsec_[A-Za-z0-9+/]{32,}={0,2}$',
    'secret_sha256', encode(sha256(convert_to(secret, 'UTF8')), 'hex')
  );
exception when others then
  -- The state only: a message could repeat a part of the secret.
  return jsonb_build_object('vault', false, 'sqlstate', sqlstate);
end
$$;

revoke execute on function public.webhook_report() from public, anon, authenticated;
grant execute on function public.webhook_report() to service_role;
comment on function public.webhook_report() is
  'Where Vault says that webhooks of uploads go, whether its secret is well formed, and the SHA-256 of that secret. Never the secret.';

-- Everything else ----------------------------------------------------------------------------

create or replace function public.installation_report()
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  with strangers as (
    select r.rolname as name from pg_catalog.pg_roles as r where r.rolname in ('anon', 'authenticated')
  ),
  relations as (
    select c.oid, c.relname as name, c.relkind = 'v' as is_view, c.relrowsecurity as row_security
    from pg_catalog.pg_class as c
    where c.relnamespace = 'public'::regnamespace
      and c.relname in (
        'therapy_sessions', 'c3d_technical_data', 'storage_intake', 'set_aside', 'worker_bells',
        'worker_settings', 'session_previews', 'session_overview', 'upload_overview'
      )
      and c.relkind in ('r', 'p', 'v')
  ),
  relation_grants as (
    select relations.oid, strangers.name as role, array_agg(privilege order by privilege) as privileges
    from relations, strangers,
      unnest(array['delete', 'insert', 'references', 'select', 'trigger', 'truncate', 'update'])
        as privilege
    where has_table_privilege(strangers.name, relations.oid, privilege)
      or case
        when privilege in ('insert', 'references', 'select', 'update')
          then has_any_column_privilege(strangers.name, relations.oid, privilege)
      end
    group by relations.oid, strangers.name
  ),
  described as (
    select
      relations.name,
      jsonb_build_object(
        'view', relations.is_view,
        'row_security', relations.row_security,
        'columns', (
          select jsonb_agg(a.attname order by a.attnum)
          from pg_catalog.pg_attribute as a
          where a.attrelid = relations.oid and a.attnum > 0 and not a.attisdropped
        ),
        'policies', coalesce((
          select jsonb_agg(p.polname order by p.polname)
          from pg_catalog.pg_policy as p
          where p.polrelid = relations.oid
        ), '[]'),
        'grants', coalesce((
          select jsonb_object_agg(g.role, to_jsonb(g.privileges))
          from relation_grants as g
          where g.oid = relations.oid
        ), '{}')
      ) as description
    from relations
  ),
  functions as (
    select
      p.proname as name,
      bool_or(has_function_privilege(strangers.name, p.oid, 'execute')) as open
    from pg_catalog.pg_proc as p
    left join strangers on true
    where p.pronamespace = 'public'::regnamespace
    group by p.proname
  )
  select jsonb_build_object(
    'time', clock_timestamp(),
    'postgres', current_setting('server_version'),
    'schema_version', public.schema_version(),
    'relations', coalesce((select jsonb_object_agg(name, description) from described), '{}'),
    'functions', coalesce((select jsonb_object_agg(name, coalesce(open, false)) from functions), '{}'),
    'publication', (
      select jsonb_build_object(
        'inserts', p.pubinsert,
        'sessions', exists (
          select
          from pg_catalog.pg_publication_tables as t
          where t.pubname = p.pubname
            and t.schemaname = 'public' and t.tablename = 'therapy_sessions'
        ),
        'bells', exists (
          select
          from pg_catalog.pg_publication_tables as t
          where t.pubname = p.pubname
            and t.schemaname = 'public' and t.tablename = 'worker_bells'
        )
      )
      from pg_catalog.pg_publication as p
      where p.pubname = 'supabase_realtime'
    ),
    'pgcrypto', exists (
      select from pg_catalog.pg_extension as e where e.extname = 'pgcrypto'
    ),
    'pg_net', exists (
      select
      from pg_catalog.pg_proc as p
      join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
      where n.nspname = 'net' and p.proname = 'http_post'
    ),
    'upload_trigger', (
      select jsonb_build_object('enabled', t.tgenabled in ('O', 'A'))
      from pg_catalog.pg_trigger as t
      where t.tgrelid = to_regclass('storage.objects') and t.tgname = 'announce_upload'
    ),
    'settings', (
      select jsonb_build_object('bucket', s.bucket, 'every_file', s.every_file)
      from public.worker_settings as s
    ),
    'patients', jsonb_build_object(
      'type', public.patient_type(),
      'code', (select format('%s.%I', p.relation, p.code_column) from public.patient_lookup() as p),
      'key', (select p.key_column from public.patient_lookup() as p)
    ),
    'webhook', public.webhook_report()
  )
$$;

revoke execute on function public.installation_report() from public, anon, authenticated;
grant execute on function public.installation_report() to service_role;
comment on function public.installation_report() is
  'How this project is set up, for `c3d-worker check`: tables with their policies and grants, functions, publication, extensions, trigger, shared settings, the look-up of patients and webhook.';
