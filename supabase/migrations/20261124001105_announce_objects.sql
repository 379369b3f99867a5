-- Uploads are put into their queue, by whoever sees them.
--
-- Reason: a trigger announces each upload, and a trigger may be missing, disabled, or newer than the
-- uploads; so a worker compares the bucket with the queue now and then. Noted twice, or by two at
-- the same time, an upload is there once. It is due since it was uploaded, whenever that was noted.

set local lock_timeout = '5s';

-- Note ---------------------------------------------------------------------------------------
-- An object that was renamed and kept its version is noted anew: its session has the old path.

create or replace function public.note_uploads(objects uuid[], every_file boolean)
returns bigint
language plpgsql  -- which, unlike sql, is created where there is no Storage
security invoker
set search_path = ''
as $$
declare
  noted bigint;
begin
  insert into public.storage_intake as i
    (object_id, version, bucket_id, object_path, size_bytes, due_at)
  select
    o.id, coalesce(o.version, ''), o.bucket_id, o.name, public.size_said(o.metadata),
    least(coalesce(o.updated_at, o.created_at), now())
  from storage.objects as o
  where o.id = any (note_uploads.objects)
    and public.is_upload(o.name, note_uploads.every_file)
    and public.is_live(to_jsonb(o))
  order by o.id  -- two that note the same do it in one order
  on conflict (object_id, version) do update
  set
    object_path = excluded.object_path, bucket_id = excluded.bucket_id, due_at = excluded.due_at,
    outcome = 'waiting', session_id = null, detail = null, attempts = 0, claim = null,
    taken_at = null, announced_at = now()
  where (i.bucket_id, i.object_path) <> (excluded.bucket_id, excluded.object_path);
  get diagnostics noted = row_count;
  return noted;
end
$$;

revoke execute on function public.note_uploads(uuid[], boolean) from public, anon, authenticated;
grant execute on function public.note_uploads(uuid[], boolean) to service_role;
comment on function public.note_uploads(uuid[], boolean) is
  'Puts objects into the queue of uploads, unless they are there or are no uploads, and says how many.';

-- Storage keeps old versions and marks of deletion as rows, where object versioning is on.
create or replace function public.is_live(object jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select is_live.object ->> 'archived_at' is null
    and coalesce(is_live.object ->> 'is_delete_marker', 'false') = 'false'
$$;

revoke execute on function public.is_live(jsonb) from public, anon, authenticated;
grant execute on function public.is_live(jsonb) to service_role;
comment on function public.is_live(jsonb) is
  'Whether a row of storage.objects is an object, and not an archived version or the mark of a deletion.';

create or replace function public.size_said(metadata jsonb)
returns bigint
language sql
immutable
set search_path = ''
as $$
  select case
    when jsonb_typeof(size_said.metadata -> 'size') = 'number'
      and (size_said.metadata ->> 'size')::numeric between 0 and 9e18
      then trunc((size_said.metadata ->> 'size')::numeric)::bigint
  end
$$;

revoke execute on function public.size_said(jsonb) from public, anon, authenticated;
grant execute on function public.size_said(jsonb) to service_role;
comment on function public.size_said(jsonb) is
  'The size in bytes that the metadata of an object says. Empty where it says none.';

-- A page of the bucket ----------------------------------------------------------------------
-- In the order of the names, so that the bucket is read once, page by page, by its index. A page
-- rings one bell, so that other workers help.

create or replace function public.announce_objects(
  bucket text,
  every_file boolean default false,
  after_name text default '',
  batch_size integer default 1000,
  missed_up_to bigint default null
)
returns table (announced bigint, last_name text)
language plpgsql
security invoker
set search_path = ''
as $$
declare
  page_size bigint;
  unknown uuid[];
begin
  select
    count(*),
    max(page.name),
    array_agg(page.id) filter (
      where not exists (
          select
          from public.storage_intake as i
          where i.object_id = page.id
            and i.version = page.version
            and (i.bucket_id, i.object_path) = (announce_objects.bucket, page.name)
        )
        and public.is_upload(page.name, announce_objects.every_file)
    )
  into page_size, last_name, unknown
  from (
    select o.id, o.name, coalesce(o.version, '') as version
    from storage.objects as o
    where o.bucket_id = announce_objects.bucket
      and o.name > announce_objects.after_name
      and public.is_live(to_jsonb(o))
    order by o.name
    limit announce_objects.batch_size
  ) as page;

  announced := case
    when unknown is null then 0 else public.note_uploads(unknown, announce_objects.every_file)
  end;
  if announced > 0 then
    insert into public.worker_bells (kind) values ('upload');
  end if;
  if page_size < announce_objects.batch_size then
    last_name := null;  -- the end of the bucket
    -- A bell may be heard before another that was rung earlier, so those of the last minute stay.
    delete from public.worker_bells as b
    where b.kind = 'missed'
      and b.id <= announce_objects.missed_up_to
      and b.rung_at < now() - interval '1 minute'
      and (
        select s.bucket = announce_objects.bucket and s.every_file <= announce_objects.every_file
        from public.worker_settings as s
      );
  end if;
  return next;
end
$$;

revoke execute on function public.announce_objects(text, boolean, text, integer, bigint) from public, anon, authenticated;
grant execute on function public.announce_objects(text, boolean, text, integer, bigint) to service_role;
comment on function public.announce_objects(text, boolean, text, integer, bigint) is
  'Puts the next batch_size objects of a bucket behind after_name into the queue of uploads, unless they are there. Says how many were new, and the last name: go on behind it until it is empty. At the end it removes the bells of missed uploads up to missed_up_to, but those of the last minute.';

-- One object --------------------------------------------------------------------------------

create or replace function public.announce_object(
  object uuid,
  bucket text,
  every_file boolean default false
)
returns text
language plpgsql
security invoker
set search_path = ''
as $$
declare
  state text;
begin
  perform public.note_uploads(array_agg(o.id), announce_object.every_file)
  from storage.objects as o
  where o.id = announce_object.object and o.bucket_id = announce_object.bucket;

  select i.outcome into state
  from storage.objects as o
  join public.storage_intake as i on i.object_id = o.id and i.version = coalesce(o.version, '')
  where o.id = announce_object.object and o.bucket_id = announce_object.bucket;
  return state;
end
$$;

revoke execute on function public.announce_object(uuid, text, boolean) from public, anon, authenticated;
grant execute on function public.announce_object(uuid, text, boolean) to service_role;
comment on function public.announce_object(uuid, text, boolean) is
  'Puts one object of a bucket into the queue of uploads, unless it is there, and says what is known of it. Empty: the bucket has no such recording.';
