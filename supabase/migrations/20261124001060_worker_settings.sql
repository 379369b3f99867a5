-- What the trigger on uploads and the workers have to agree on: the bucket, and which files.
--
-- Reason: the trigger cannot read a worker's environment, and in a hosted project nobody may drop
-- it. So it asks this table, and another bucket needs no other trigger.

set local lock_timeout = '5s';

create table if not exists public.worker_settings (
  only_row boolean primary key default true,
  bucket text default 'c3d-files',
  every_file boolean not null default false,
  patients text,
  patient_code_column text,
  patient_key_column text,
  constraint patients_whole check (
    num_nonnulls(patients, patient_code_column, patient_key_column) in (0, 3)
  ),
  constraint there_is_one_row check (only_row)
);

insert into public.worker_settings default values on conflict do nothing;

alter table public.worker_settings enable row level security;
revoke all on public.worker_settings from public, anon, authenticated;
grant select, insert, update on public.worker_settings to service_role;

comment on table public.worker_settings is
  'One row: of which uploads the trigger announce_upload tells the workers, and where patients are looked up. A worker sets bucket and every_file to its own settings when it starts.';
comment on column public.worker_settings.only_row is 'Always true: there is one row.';
comment on column public.worker_settings.bucket is
  'The bucket of the recordings, as C3D_BUCKET. Empty: no upload is announced, and no worker changes that; for projects where other programs make the sessions, whose workers have BUCKET_SWEEP_SECONDS=0.';
comment on column public.worker_settings.every_file is
  'Whether files other than .c3d get a session too, as OTHER_FILES=skip.';
comment on column public.worker_settings.patients is
  'The table of patients, such as public.patients. Empty: the one that therapy_sessions.patient_id refers to, if any.';
comment on column public.worker_settings.patient_code_column is
  'Its column with the code that paths name, such as patient_code.';
comment on column public.worker_settings.patient_key_column is
  'Its column that therapy_sessions.patient_id holds, such as id.';

create or replace function public.share_settings(bucket text, every_file boolean)
returns boolean
language plpgsql
security invoker
set search_path = ''
set lock_timeout = '1s'
as $$
begin
  insert into public.worker_settings default values on conflict do nothing;
  update public.worker_settings as s
  set bucket = share_settings.bucket, every_file = share_settings.every_file
  where s.bucket is not null
    and (s.bucket, s.every_file) is distinct from (share_settings.bucket, share_settings.every_file);
  return found;
end
$$;

revoke execute on function public.share_settings(text, boolean) from public, anon, authenticated;
grant execute on function public.share_settings(text, boolean) to service_role;
comment on function public.share_settings(text, boolean) is
  'Makes the trigger announce the uploads of this bucket, unless it is to announce none, and says whether that changed anything.';

-- Whether uploads announce themselves ----------------------------------------------------------

create or replace function public.is_announcing(bucket text, every_file boolean)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select exists (
    select
    from public.worker_settings as s
    where s.bucket = is_announcing.bucket and s.every_file >= is_announcing.every_file
  ) and exists (
    select
    from pg_catalog.pg_trigger as t
    where t.tgrelid = to_regclass('storage.objects')
      and t.tgname = 'announce_upload'
      and t.tgfoid = to_regproc('public.announce_upload')
      and t.tgenabled in ('O', 'A')
  )
$$;

revoke execute on function public.is_announcing(text, boolean) from public, anon, authenticated;
grant execute on function public.is_announcing(text, boolean) to service_role;
comment on function public.is_announcing(text, boolean) is
  'Whether an enabled trigger announces the uploads of this bucket.';
