-- Stand-ins for pg_net and Vault: their tables and functions, as far as an upload needs them.
-- The superuser runs it, once per database. outgoing.py sends what it takes from the queue.

-- pg_net ---------------------------------------------------------------------------------------
create schema net authorization supabase_admin;
grant usage on schema net to postgres, anon, authenticated, service_role;

create unlogged table net.http_request_queue (
  id bigint generated always as identity primary key,
  method text not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds integer not null
);
create unlogged table net._http_response (
  id bigint,
  status_code integer,
  content_type text,
  headers jsonb,
  content text,
  timed_out boolean,
  error_msg text,
  created timestamptz not null default now()
);
grant select on net.http_request_queue, net._http_response to postgres, service_role;

create function net.http_post(
  url text,
  body jsonb default '{}',
  params jsonb default '{}',
  headers jsonb default '{"Content-Type": "application/json"}',
  timeout_milliseconds integer default 5000
)
returns bigint
language plpgsql
security definer
set search_path = net
as $$
declare
  content_type text;
  query text;
  request bigint;
begin
  select value into content_type
  from jsonb_each_text(coalesce(http_post.headers, '{}'))
  where lower(key) = 'content-type'
  limit 1;
  if coalesce(content_type, 'application/json') <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;

  select string_agg(format('%s=%s', key, value), '&') into query
  from jsonb_each_text(coalesce(http_post.params, '{}'));

  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    'POST',
    concat_ws('?', http_post.url, query),
    '{"Content-Type": "application/json"}' || coalesce(http_post.headers, '{}'),
    convert_to(http_post.body::text, 'UTF8'),
    http_post.timeout_milliseconds
  )
  returning id into request;

  perform pg_notify('net_wake', '');
  return request;
end
$$;
revoke execute on function net.http_post(text, jsonb, jsonb, jsonb, integer) from public;
grant execute on function net.http_post(text, jsonb, jsonb, jsonb, integer)
  to postgres, anon, authenticated, service_role;

-- Vault ----------------------------------------------------------------------------------------
create schema vault authorization supabase_admin;
grant usage on schema vault to postgres, service_role;

create table vault.secrets (
  id uuid primary key default gen_random_uuid(),
  name text unique,
  description text not null default '',
  secret text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

-- The key protects nothing: it is the same on every machine.
create view vault.decrypted_secrets as
select
  s.*,
  convert_from(extensions.decrypt(decode(s.secret, 'base64'), 'local stack only', 'aes'), 'UTF8')
    as decrypted_secret
from vault.secrets as s;

create function vault.create_secret(
  new_secret text,
  new_name text default null,
  new_description text default '',
  new_key_id uuid default null
)
returns uuid
language sql
security definer
set search_path = ''
as $$
  insert into vault.secrets (name, description, secret)
  values (
    new_name,
    new_description,
    encode(extensions.encrypt(convert_to(new_secret, 'UTF8'), 'local stack only', 'aes'), 'base64')
  )
  returning id
$$;
revoke execute on function vault.create_secret(text, text, text, uuid) from public;
grant execute on function vault.create_secret(text, text, text, uuid) to postgres, service_role;
grant select, delete on vault.secrets, vault.decrypted_secrets to postgres, service_role;
