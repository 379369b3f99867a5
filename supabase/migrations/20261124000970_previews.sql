-- The picture of each session: whether it was made, and where it lies.
--
-- Reason: people would rather look at a recording than read about it. A picture never holds up its
-- session: it is noted here in the transaction that completes the session, and made afterwards. One
-- that could not be made is made later, a few times at most. Sessions from before are not drawn
-- unless somebody wants it: select want_preview(id) from therapy_sessions where …
--
-- A row outlives its session, so that its picture can be removed from Storage by its name.

set local lock_timeout = '5s';

create table if not exists public.session_previews (
  object_name text primary key,
  session_id uuid,
  due_at timestamptz,
  attempts integer not null default 0,
  made_at timestamptz,
  detail text,
  constraint session_previews_session_id_fkey foreign key (session_id)
    references public.therapy_sessions (id) on delete set null
);

create unique index if not exists session_previews_session
  on public.session_previews (session_id);
create index if not exists session_previews_due on public.session_previews (due_at)
  where due_at is not null;
create index if not exists session_previews_orphaned on public.session_previews (object_name)
  where session_id is null;

alter table public.session_previews enable row level security;
revoke all on public.session_previews from public, anon, authenticated;
grant select, insert, update, delete on public.session_previews to service_role;

comment on table public.session_previews is
  'The picture of each session, in the bucket c3d-previews: whether it was made. A row whose session was deleted goes when its picture is removed.';
comment on column public.session_previews.object_name is 'The picture''s name in the bucket c3d-previews.';
comment on column public.session_previews.session_id is
  'The session that it shows. Empty: that was deleted, and the picture is to be removed.';
comment on column public.session_previews.due_at is
  'While it is to be made: not by another worker before this time. Empty: it was made, or given up.';
comment on column public.session_previews.attempts is 'How often a worker has begun to make it later, 5 times at most.';
comment on column public.session_previews.made_at is 'When it was made last. Empty: there is none.';
comment on column public.session_previews.detail is 'Why it could not be made: a code.';

-- Wanted, made, or not --------------------------------------------------------------------------

create or replace function public.want_preview(session uuid, delay_seconds double precision default 0)
returns void
language sql
security invoker
set search_path = ''
as $$
  insert into public.session_previews as p (object_name, session_id, due_at)
  values (
    want_preview.session::text || '.png', want_preview.session,
    now() + make_interval(secs => want_preview.delay_seconds)
  )
  on conflict (object_name) do update
  set session_id = excluded.session_id, due_at = excluded.due_at, attempts = 0, detail = null
$$;

revoke execute on function public.want_preview(uuid, double precision) from public, anon, authenticated;
grant execute on function public.want_preview(uuid, double precision) to service_role;
comment on function public.want_preview(uuid, double precision) is
  'Notes that a session shall have a picture, or a new one; with a delay, which leaves it to the worker that has just read the recording.';

create or replace function public.claim_previews(
  bucket text,
  batch_size integer,
  lease_seconds double precision
)
returns table (
  object_name text,
  session uuid,
  object_path text,
  file_hash text,
  file_size_bytes bigint
)
language sql
security invoker
set search_path = ''
as $$
  with due as (
    select p.object_name
    from public.session_previews as p
    where p.due_at <= now() and p.session_id is not null
    order by p.due_at
    limit claim_previews.batch_size
    for update skip locked
  ), begun as (
    update public.session_previews as p
    set
      attempts = p.attempts + 1,
      -- Whatever this attempt dies of, it is the last one after a few.
      due_at = case
        when p.attempts < 4 then now() + make_interval(secs => claim_previews.lease_seconds)
      end
    from due
    where p.object_name = due.object_name
    returning p.object_name, p.session_id
  ), orphaned as (
    select p.object_name
    from public.session_previews as p
    where p.session_id is null
    order by p.object_name
    limit 100
  )
  select
    begun.object_name, s.id, public.object_path_in(claim_previews.bucket, s.file_path::text),
    s.file_hash::text, s.file_size_bytes::bigint
  from begun
  join public.therapy_sessions as s on s.id = begun.session_id
  union all
  select orphaned.object_name, null, null, null, null
  from orphaned
$$;

revoke execute on function public.claim_previews(text, integer, double precision) from public, anon, authenticated;
grant execute on function public.claim_previews(text, integer, double precision) to service_role;
comment on function public.claim_previews(text, integer, double precision) is
  'Gives a worker pictures that are to be made from a download, and to nobody else for some seconds; and up to 100 pictures whose sessions were deleted, to be removed from Storage.';

create or replace function public.end_preview(session uuid, error text default null)
returns boolean
language plpgsql
security invoker
set search_path = ''
as $$
begin
  update public.session_previews as p
  set
    made_at = case when end_preview.error is null then clock_timestamp() else p.made_at end,
    detail = end_preview.error,
    due_at = case
      when end_preview.error is not null and p.attempts < 5
        then now() + least(interval '5 minutes' * 2 ^ p.attempts, interval '1 day')
    end
  where p.session_id = end_preview.session;
  return found;
end
$$;

revoke execute on function public.end_preview(uuid, text) from public, anon, authenticated;
grant execute on function public.end_preview(uuid, text) to service_role;
comment on function public.end_preview(uuid, text) is
  'Notes that a picture was made, or the code of why not; then it is attempted again, ever later, 5 times at most. False: its session was deleted, and the picture is to be removed.';

-- Removed with its session ------------------------------------------------------------------------

create or replace function public.forget_previews(removed text[])
returns bigint
language plpgsql
security invoker
set search_path = ''
as $$
declare
  forgotten bigint;
begin
  delete from public.session_previews as p
  where p.object_name = any (forget_previews.removed) and p.session_id is null;
  get diagnostics forgotten = row_count;
  return forgotten;
end
$$;

revoke execute on function public.forget_previews(text[]) from public, anon, authenticated;
grant execute on function public.forget_previews(text[]) to service_role;
comment on function public.forget_previews(text[]) is
  'Forgets pictures that were removed from Storage, and says how many; those of living sessions stay.';

-- The private bucket -------------------------------------------------------------------------------

do $$
declare
  is_public boolean;
begin
  if to_regclass('storage.buckets') is null then
    raise notice 'This database has no Storage: the bucket c3d-previews was not made.';
    return;
  end if;

  insert into storage.buckets (id, name, public)
  values ('c3d-previews', 'c3d-previews', false)
  on conflict (id) do nothing;

  select buckets.public into is_public from storage.buckets where buckets.id = 'c3d-previews';
  if is_public then
    raise warning 'The bucket c3d-previews is public: anybody who knows a session''s id can see its picture.'
      using hint = 'update storage.buckets set public = false where id = ''c3d-previews''';
  end if;
end
$$;
