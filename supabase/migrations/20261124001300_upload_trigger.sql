-- Announces every uploaded recording to the worker, as a signed webhook.
--
-- Reason: without it an upload waits for the next sweep of the bucket. The trigger only announces:
-- whatever goes wrong in it, the upload succeeds and the sweep finds it.
--
-- To switch it on, enable the extension pg_net, then store in Vault the address of the worker and
-- the secret that it has as WEBHOOK_SECRET:
--
--   select vault.create_secret('https://worker.example.org/webhooks/storage', 'c3d_webhook_url');
--   select vault.create_secret('whsec_…', 'c3d_webhook_secret');
--
-- A hosted project cannot reach a private or loopback address: put a TLS proxy before the worker
-- (deploy/Caddyfile), or leave the secrets out and let the sweep do it alone.
--
-- For another bucket than c3d-files, create the trigger at the end again with its name.

set local lock_timeout = '5s';

-- Sign and send ------------------------------------------------------------------------------
-- Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`,
-- the body as pg_net sends it: the text of its jsonb, in UTF-8.

create or replace function public.send_upload_webhook(kind text, uploaded jsonb, replaced jsonb)
returns void
language plpgsql
security invoker
set search_path = ''
as $$
declare
  crypto text;
  address text;
  secret text;
  message_id text := 'msg_' || replace(gen_random_uuid()::text, '-', '');
  sent_at text := floor(extract(epoch from clock_timestamp()))::bigint::text;
  body jsonb;
  signature bytea;
begin
  -- pgcrypto lives in the schema extensions, or in public on older projects.
  select n.nspname into crypto
  from pg_catalog.pg_extension as e
  join pg_catalog.pg_namespace as n on n.oid = e.extnamespace
  where e.extname = 'pgcrypto';
  if crypto is null
    or to_regclass('vault.decrypted_secrets') is null
    or to_regprocedure('net.http_post(text, jsonb, jsonb, jsonb, integer)') is null
  then
    return;
  end if;

  select s.decrypted_secret into address
  from vault.decrypted_secrets as s
  where s.name = 'c3d_webhook_url';
  select s.decrypted_secret into secret
  from vault.decrypted_secrets as s
  where s.name = 'c3d_webhook_secret';
  if address is null or secret is null then
    return;
  end if;

  -- What Storage and people attach to an object can be large, and the worker does not read it.
  body := jsonb_build_object(
    'type', send_upload_webhook.kind,
    'table', 'objects',
    'schema', 'storage',
    'record', send_upload_webhook.uploaded - array['path_tokens', 'metadata', 'user_metadata'],
    'old_record', send_upload_webhook.replaced - array['path_tokens', 'metadata', 'user_metadata']
  );
  execute format('select %I.hmac($1, $2, ''sha256'')', crypto)
    into signature
    using
      convert_to(concat(message_id, '.', sent_at, '.', body::text), 'UTF8'),
      decode(substr(secret, length('whsec_') + 1), 'base64');

  perform net.http_post(
    url => address,
    body => body,
    params => '{}',
    headers => jsonb_build_object(
      'Content-Type', 'application/json',
      'webhook-id', message_id,
      'webhook-timestamp', sent_at,
      'webhook-signature', 'v1,' || encode(signature, 'base64')
    ),
    timeout_milliseconds => 30000  -- the worker answers when it has noted the upload
  );
end
$$;

revoke execute on function public.send_upload_webhook(text, jsonb, jsonb)
  from public, anon, authenticated, service_role;
comment on function public.send_upload_webhook(text, jsonb, jsonb) is
  'Signs an upload as a Standard Webhook and gives it to pg_net. Does nothing without pg_net, Vault or the secrets c3d_webhook_url and c3d_webhook_secret.';

-- Announce -----------------------------------------------------------------------------------
-- As its owner, because uploads come from every role, and none of them may see the secret.

create or replace function public.announce_upload()
returns trigger
language plpgsql
security definer
set search_path = ''
set lock_timeout = '1s'  -- an upload waits for no lock of another extension
as $$
begin
  if tg_op = 'INSERT' then
    perform public.send_upload_webhook('INSERT', to_jsonb(new), null);
  elsif new.version is distinct from old.version then
    perform public.send_upload_webhook('UPDATE', to_jsonb(new), to_jsonb(old));
  end if;
  return null;
exception when query_canceled or assert_failure or others then
  -- The state only: a message could repeat a part of the secret.
  raise warning 'announce_upload: SQLSTATE %; the sweep of the worker will find the upload.', sqlstate;
  return null;
end
$$;

revoke execute on function public.announce_upload() from public, anon, authenticated, service_role;
comment on function public.announce_upload() is
  'Announces an uploaded recording to the worker, and never stops an upload. Called by the trigger of the same name.';

-- Trigger ------------------------------------------------------------------------------------

do $$
begin
  if to_regclass('storage.objects') is null then
    raise notice 'This database has no Storage: no trigger announces uploads.';
    return;
  end if;

  create or replace trigger announce_upload
  after insert or update of version on storage.objects
  for each row
  when (new.bucket_id = 'c3d-files' and new.name ilike '%.c3d')
  execute function public.announce_upload();
exception when insufficient_privilege then
  raise warning 'storage.objects takes no trigger from this role: uploads wait for the sweep of the worker.';
end
$$;
