-- Marks the hashes that this project has measured.
--
-- Reason: file_hash makes a recording unique, and other programs write it as well: the SHA-256 of
-- the content, or that of the path and the size, which looks the same. So nothing is concluded from
-- a hash that no worker has measured: the first reading replaces it, and only a measured one can
-- show that a file was changed.

set local lock_timeout = '5s';
set local client_min_messages = warning;

alter table public.therapy_sessions add column if not exists hash_measured_at timestamptz;

set local client_min_messages = notice;

comment on column public.therapy_sessions.hash_measured_at is
  'When a worker measured file_hash. Empty: another program wrote it, and the first reading replaces it where it is not that of the file.';

create or replace function public.is_path_hash(file_hash text, file_path text, size_bytes bigint)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select is_path_hash.file_hash in (
    encode(sha256(convert_to(is_path_hash.file_path || ':' || is_path_hash.size_bytes, 'UTF8')), 'hex'),
    encode(sha256(convert_to(is_path_hash.file_path, 'UTF8')), 'hex')
  )
$$;

revoke execute on function public.is_path_hash(text, text, bigint) from public, anon, authenticated;
grant execute on function public.is_path_hash(text, text, bigint) to service_role;
comment on function public.is_path_hash(text, text, bigint) is
  'Whether a hash is that of the path, or of path and size, as the old system wrote it.';

create or replace function public.forget_measurement()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if new.file_hash <> old.file_hash
    and new.hash_measured_at is not distinct from old.hash_measured_at
  then
    new.hash_measured_at := null;
  end if;
  return new;
end
$$;

revoke execute on function public.forget_measurement() from public, anon, authenticated;
comment on function public.forget_measurement() is
  'Unmarks a file_hash that another program writes. Called by the trigger of the same name.';

create or replace trigger forget_measurement
before update of file_hash on public.therapy_sessions
for each row execute function public.forget_measurement();
