-- The queue of uploads: one row for each version of each object, and what became of it.
--
-- Reason: uploads are announced by whoever sees them first, several times, or by nobody for a
-- while, and several workers take them in. A row that waits until it is due, is claimed under a
-- lease and ends once makes every one of them harmless. What is not the file's own fault never
-- ends a row: it waits again, and `detail` says for what.
--
-- A row goes with its session. A session that is deleted while its object stays comes back: to be
-- rid of a recording, delete the object first.

set local lock_timeout = '5s';

create table if not exists public.storage_intake (
  object_id uuid not null,
  version text not null,
  bucket_id text not null,
  object_path text not null,
  size_bytes bigint,
  outcome text not null default 'waiting',
  session_id uuid,
  detail text,
  attempts integer not null default 0,
  due_at timestamptz default now(),
  claim uuid,
  announced_at timestamptz not null default now(),
  taken_at timestamptz,
  constraint storage_intake_pkey primary key (object_id, version),
  constraint storage_intake_session_id_fkey foreign key (session_id)
    references public.therapy_sessions (id) on delete cascade,
  constraint outcome_is_known check (
    outcome in (
      'waiting', 'taking',
      'session', 'duplicate', 'skipped', 'refused', 'superseded', 'gone'
    )
  ),
  constraint due_until_final check ((outcome in ('waiting', 'taking')) = (due_at is not null)),
  constraint taken_when_final check ((outcome in ('waiting', 'taking')) = (taken_at is null))
);

create index if not exists storage_intake_session on public.storage_intake (session_id);
create index if not exists storage_intake_queue on public.storage_intake (bucket_id, due_at)
  where outcome in ('waiting', 'taking');
create index if not exists storage_intake_taking on public.storage_intake (claim)
  where outcome = 'taking';
create index if not exists storage_intake_refused on public.storage_intake (taken_at)
  where outcome = 'refused';
create index if not exists storage_intake_duplicates on public.storage_intake (taken_at)
  where outcome = 'duplicate';

alter table public.storage_intake enable row level security;
revoke all on public.storage_intake from public, anon, authenticated;
grant select, insert, update, delete on public.storage_intake to service_role;

comment on table public.storage_intake is
  'Every version of every uploaded recording, and what became of it. To look at, use the view upload_overview. A row goes with its session; a session deleted while its object stays is made anew.';
comment on column public.storage_intake.object_id is 'The object in Storage (storage.objects.id).';
comment on column public.storage_intake.version is 'Its version: overwriting an object makes a new one.';
comment on column public.storage_intake.bucket_id is 'The bucket it lies in.';
comment on column public.storage_intake.object_path is 'Where it lay in the bucket when it was announced.';
comment on column public.storage_intake.size_bytes is 'Its size as Storage says it. Empty where Storage does not.';
comment on column public.storage_intake.outcome is
  'waiting: to be taken in when it is due. taking: a worker is downloading it. session: it made the session. duplicate: its content had a session already. skipped: it is not a recording, its session says so. refused: no session is possible, detail says why. superseded: it was overwritten or moved before it was taken in. gone: it was deleted before.';
comment on column public.storage_intake.session_id is 'The session that holds its content.';
comment on column public.storage_intake.detail is
  'Why it was refused, or what it waits for: a code, then a sentence with what helps.';
comment on column public.storage_intake.attempts is
  'How often a worker has begun to take it in, since it waits for the same. Given back unharmed does not count.';
comment on column public.storage_intake.due_at is
  'While waiting: not to be taken in before this time. While taking: until then the worker has it to itself. Empty when final.';
comment on column public.storage_intake.claim is
  'Under which claim a worker took it last. It stays after the end, so that a repeated call is recognised.';
comment on column public.storage_intake.announced_at is 'When the upload was noted here.';
comment on column public.storage_intake.taken_at is 'When it came to its end. Empty while it waits or is being taken in.';

-- What is a recording ------------------------------------------------------------------------

create or replace function public.is_upload(object_path text, every_file boolean)
returns boolean
language sql
immutable
parallel safe
set search_path = ''
as $$
  select (is_upload.object_path ilike '%.c3d' or is_upload.every_file)
    and is_upload.object_path not like '%.emptyFolderPlaceholder'  -- how the dashboard makes a folder
$$;

revoke execute on function public.is_upload(text, boolean) from public, anon, authenticated;
grant execute on function public.is_upload(text, boolean) to service_role;
comment on function public.is_upload(text, boolean) is
  'Whether an object of this path is taken in: .c3d files, or every file.';
