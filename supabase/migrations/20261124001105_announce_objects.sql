-- Uploads are put into their queue, by whoever sees them.
--
-- Reason: a webhook may get lost, so a worker reads the whole bucket now and then. Announced twice,
-- or by two at the same time, an upload is there once. It is due since it was uploaded, whenever
-- that was noted, so the uploads that wait are claimed in the order in which they were uploaded.

set local lock_timeout = '5s';

-- A page of the bucket ----------------------------------------------------------------------
-- In the order of the names, so that the bucket is read once, page by page, by its index.

create or replace function public.announce_objects(
  bucket text,
  every_file boolean default false,
  after_name text default '',
  batch_size integer default 1000
)
returns table (announced bigint, due boolean, last_name text, patients_awaited boolean)
language plpgsql  -- which, unlike sql, is created where there is no Storage
security invoker
set search_path = ''
as $$
declare
  page_size bigint;
begin
  with page as materialized (
    select
      o.id, coalesce(o.version, '') as version, o.name, o.metadata,
      coalesce(o.updated_at, o.created_at) as uploaded_at
    from storage.objects as o
    where o.bucket_id = announce_objects.bucket
      and o.name > announce_objects.after_name
    order by o.name
    limit announce_objects.batch_size
  ),
  announcements as (
    insert into public.storage_intake
      (object_id, version, bucket_id, object_path, size_bytes, due_at)
    select
      page.id, page.version, announce_objects.bucket, page.name, public.size_said(page.metadata),
      least(page.uploaded_at, now())
    from page
    where public.is_upload(page.name, announce_objects.every_file)
      and not exists (
        select
        from public.storage_intake as i
        where i.object_id = page.id and i.version = page.version
      )
    on conflict do nothing
    returning 1
  )
  select
    (select count(*) from announcements),
    (select max(page.name) from page),
    (select count(*) from page)
  into announced, last_name, page_size;

  patients_awaited := false;
  if page_size < announce_objects.batch_size then
    last_name := null;  -- the end of the bucket
    patients_awaited := exists (
      select from public.therapy_sessions as s where s.patient_code is not null
    );
  end if;
  due := exists (
    select
    from public.storage_intake as i
    where i.outcome in ('waiting', 'taking')
      and i.due_at <= clock_timestamp()
      and i.bucket_id = announce_objects.bucket
  );
  return next;
end
$$;

revoke execute on function public.announce_objects(text, boolean, text, integer) from public, anon, authenticated;
grant execute on function public.announce_objects(text, boolean, text, integer) to service_role;
comment on function public.announce_objects(text, boolean, text, integer) is
  'Puts the next batch_size objects of a bucket behind after_name into the queue of uploads, unless they are there. Says how many were new, whether uploads are due, and the last name: go on behind it until it is empty; then also whether sessions wait for their patients, see fill_patients.';

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
  uploaded record;
  state text;
begin
  select
    o.id, coalesce(o.version, '') as version, o.name, o.metadata,
    coalesce(o.updated_at, o.created_at) as uploaded_at
  into uploaded
  from storage.objects as o
  where o.id = announce_object.object
    and o.bucket_id = announce_object.bucket
    and public.is_upload(o.name, announce_object.every_file);
  if not found then
    return null;
  end if;

  insert into public.storage_intake
    (object_id, version, bucket_id, object_path, size_bytes, due_at)
  values (
    uploaded.id, uploaded.version, announce_object.bucket, uploaded.name,
    public.size_said(uploaded.metadata), least(uploaded.uploaded_at, now())
  )
  on conflict do nothing;

  select i.outcome into state
  from public.storage_intake as i
  where i.object_id = uploaded.id and i.version = uploaded.version;
  return state;
end
$$;

revoke execute on function public.announce_object(uuid, text, boolean) from public, anon, authenticated;
grant execute on function public.announce_object(uuid, text, boolean) to service_role;
comment on function public.announce_object(uuid, text, boolean) is
  'Puts one object of a bucket into the queue of uploads, unless it is there, and says what is known of it. Empty: the bucket has no such recording.';
