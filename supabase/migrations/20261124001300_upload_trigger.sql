-- Every upload announces itself: it is noted in the queue of uploads and rings a bell, in the
-- transaction of the upload.
--
-- Reason: a worker needs no public address, no open port and no secret to hear of an upload at once,
-- and nothing that was committed can get lost on the way. Whatever goes wrong in here, the upload
-- succeeds: a bell of its own kind asks the workers to read the bucket.
--
-- Besides, it sends a signed webhook where somebody wants one; no worker needs it. For that, enable
-- the extension pg_net, then store in Vault the address and the secret (WEBHOOK_SECRET):
--
--   select vault.create_secret('https://worker.example.org/webhooks/storage', 'c3d_webhook_url');
--   select vault.create_secret('whsec_…', 'c3d_webhook_secret');

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
    -- The worker answers when it has noted the upload. Until then pg_net sends nothing else.
    timeout_milliseconds => 5000
  );
end
$$;

revoke execute on function public.send_upload_webhook(text, jsonb, jsonb)
  from public, anon, authenticated, service_role;
comment on function public.send_upload_webhook(text, jsonb, jsonb) is
  'Signs an upload as a Standard Webhook and gives it to pg_net. Does nothing without pg_net, Vault or the secrets c3d_webhook_url and c3d_webhook_secret.';

-- Announce -----------------------------------------------------------------------------------
-- As its owner, because uploads come from every role, and none of them may see the secret. Each part
-- fails alone. An upload waits a second for a lock, and no second time.

create or replace function public.announce_upload()
returns trigger
language plpgsql
security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  wanted record;  -- without a table's type, which to know could wait for that table, or fail
  bell text := 'upload';
begin
  if tg_op = 'UPDATE' then
    if (new.bucket_id, new.name, new.version)
      is not distinct from (old.bucket_id, old.name, old.version)
    then
      return null;
    end if;
  end if;

  begin
    select s.bucket, s.every_file into wanted from public.worker_settings as s;
    if wanted.bucket is distinct from new.bucket_id
      or not public.is_upload(new.name, wanted.every_file)
      or not public.is_live(to_jsonb(new))
    then
      return null;
    end if;
    if public.note_uploads(array[new.id], wanted.every_file) = 0 and not exists (
      select
      from public.storage_intake as i
      where i.object_id = new.id and i.version = coalesce(new.version, '')
    ) then
      bell := 'missed';  -- this role does not see the object
    end if;
  exception when query_canceled or assert_failure or others then
    raise warning 'announce_upload: SQLSTATE %, so the upload was not noted; a worker reads the bucket.', sqlstate;
    perform set_config('lock_timeout', '50ms', true);
    bell := 'missed';
  end;

  begin
    insert into public.worker_bells (kind) values (bell);
  exception when query_canceled or assert_failure or others then
    raise warning 'announce_upload: SQLSTATE %, so no bell was rung; the workers look now and then.', sqlstate;
    perform set_config('lock_timeout', '50ms', true);
  end;

  begin
    perform public.send_upload_webhook(
      tg_op, to_jsonb(new), case when tg_op = 'UPDATE' then to_jsonb(old) end
    );
  exception when query_canceled or assert_failure or others then
    -- The state only: a message could repeat a part of the secret.
    raise warning 'announce_upload: SQLSTATE %, so no webhook was sent; no worker needs it.', sqlstate;
  end;
  return null;
end
$$;

revoke execute on function public.announce_upload() from public, anon, authenticated, service_role;
comment on function public.announce_upload() is
  'Notes an upload, rings a bell for the workers, and never stops an upload. Called by the trigger of the same name.';

-- Trigger ------------------------------------------------------------------------------------

do $$
begin
  if to_regclass('storage.objects') is null then
    raise notice 'This database has no Storage: no trigger announces uploads.';
    return;
  end if;

  create or replace trigger announce_upload
  after insert or update of version, name, bucket_id on storage.objects
  for each row
  execute function public.announce_upload();
exception when insufficient_privilege then
  raise warning 'storage.objects takes no trigger from this role: the workers read the bucket now and then instead.';
end
$$;
