-- Uploads are announced, claimed, extended and given back, as sessions are.
--
-- Reason: see storage_intake. Every function is safe to call again after a lost reply, and a
-- worker whose lease went to another changes nothing and is told so.

set local lock_timeout = '5s';

-- Announce: a page of the bucket -------------------------------------------------------------
-- In the order of the names, so that the bucket is read once, page by page, by its index.

create or replace function public.announce_objects(
  bucket text,
  every_file boolean default false,
  after_name text default '',
  batch_size integer default 1000
)
returns table (announced bigint, due boolean, last_name text)
language plpgsql  -- which, unlike sql, is created where there is no Storage
security invoker
set search_path = ''
as $$
declare
  page_size bigint;
begin
  with page as materialized (
    select o.id, coalesce(o.version, '') as version, o.name, o.metadata
    from storage.objects as o
    where o.bucket_id = announce_objects.bucket
      and o.name > announce_objects.after_name
    order by o.name
    limit announce_objects.batch_size
  ),
  announcements as (
    insert into public.storage_intake (object_id, version, bucket_id, object_path, size_bytes)
    select page.id, page.version, announce_objects.bucket, page.name, public.size_said(page.metadata)
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

  if page_size < announce_objects.batch_size then
    last_name := null;  -- the end of the bucket
    perform public.fill_patients();  -- the same look finds the patients that appeared meanwhile
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
  'Puts the next batch_size objects of a bucket behind after_name into the queue of uploads, unless they are there, and fills patients that appeared. Says how many were new, whether uploads are due, and the last name: go on behind it until it is empty.';

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

-- Announce: one object -----------------------------------------------------------------------

create or replace function public.announce_object(object uuid, bucket text)
returns text
language plpgsql
security invoker
set search_path = ''
as $$
declare
  uploaded record;
  state text;
begin
  select o.id, coalesce(o.version, '') as version, o.name, o.metadata into uploaded
  from storage.objects as o
  where o.id = announce_object.object and o.bucket_id = announce_object.bucket;
  if not found then
    return null;
  end if;

  insert into public.storage_intake (object_id, version, bucket_id, object_path, size_bytes)
  values (
    uploaded.id, uploaded.version, announce_object.bucket, uploaded.name,
    public.size_said(uploaded.metadata)
  )
  on conflict do nothing;

  select i.outcome into state
  from public.storage_intake as i
  where i.object_id = uploaded.id and i.version = uploaded.version;
  return state;
end
$$;

revoke execute on function public.announce_object(uuid, text) from public, anon, authenticated;
grant execute on function public.announce_object(uuid, text) to service_role;
comment on function public.announce_object(uuid, text) is
  'Puts one object of a bucket into the queue of uploads, unless it is there, and says what is known of it. Empty: the bucket has no such object.';

-- Claim --------------------------------------------------------------------------------------

create or replace function public.claim_objects(
  claim uuid,
  bucket text,
  batch_size integer,
  lease_seconds integer,
  only_object uuid default null
)
returns table (
  object_id uuid,
  version text,
  object_path text,
  size_bytes bigint,
  attempts integer
)
language plpgsql
security invoker
set search_path = ''
set plan_cache_mode = 'force_custom_plan'  -- one object and a whole queue want different plans
as $$
declare
  right_now timestamptz;
begin
  -- A repeat of this very call waits here until the first is done, then gets the first's rows.
  perform pg_advisory_xact_lock(hashtextextended('claim_objects ' || claim_objects.claim::text, 0));
  right_now := clock_timestamp();

  while not exists (
    select
    from public.storage_intake as i
    where i.outcome = 'taking' and i.claim = claim_objects.claim
  ) loop
    with due as (
      select i.object_id, i.version
      from public.storage_intake as i
      where i.outcome in ('waiting', 'taking')
        and i.due_at <= right_now
        and i.bucket_id = claim_objects.bucket
        and (claim_objects.only_object is null or i.object_id = claim_objects.only_object)
      order by i.due_at
      limit claim_objects.batch_size
      for update skip locked
    )
    update public.storage_intake as i
    set
      outcome = 'taking',
      attempts = i.attempts + 1,
      claim = claim_objects.claim,
      due_at = right_now + make_interval(secs => claim_objects.lease_seconds)
    from due
    where i.object_id = due.object_id and i.version = due.version;
    exit when not found;

    -- What was overwritten or deleted before it was taken in is not downloaded any more.
    update public.storage_intake as i
    set outcome = public.end_of_object(i.object_id), due_at = null, taken_at = right_now
    where i.outcome = 'taking'
      and i.claim = claim_objects.claim
      and not public.is_current(i.object_id, i.version);
  end loop;

  return query
  select i.object_id, i.version, i.object_path, i.size_bytes, i.attempts
  from public.storage_intake as i
  where i.outcome = 'taking' and i.claim = claim_objects.claim
  order by i.announced_at, i.object_path;
end
$$;

revoke execute on function public.claim_objects(uuid, text, integer, integer, uuid) from public, anon, authenticated;
grant execute on function public.claim_objects(uuid, text, integer, integer, uuid) to service_role;
comment on function public.claim_objects(uuid, text, integer, integer, uuid) is
  'Claims uploads that are due, the longest due first, with a lease of lease_seconds. The same claim again gets the same uploads. What was overwritten or deleted meanwhile ends as superseded or gone.';

-- Whether Storage still has the version.
create or replace function public.is_current(object uuid, version text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return exists (
    select
    from storage.objects as o
    where o.id = is_current.object and coalesce(o.version, '') = is_current.version
  );
end
$$;

revoke execute on function public.is_current(uuid, text) from public, anon, authenticated;
grant execute on function public.is_current(uuid, text) to service_role;
comment on function public.is_current(uuid, text) is
  'Whether Storage still has this version of the object.';

create or replace function public.end_of_object(object uuid)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return case
    when exists (select from storage.objects as o where o.id = end_of_object.object)
      then 'superseded'
    else 'gone'
  end;
end
$$;

revoke execute on function public.end_of_object(uuid) from public, anon, authenticated;
grant execute on function public.end_of_object(uuid) to service_role;
comment on function public.end_of_object(uuid) is
  'What became of an object whose version is not current: superseded, or gone.';

-- Extend -------------------------------------------------------------------------------------
-- A row that somebody else has locked is passed over: nobody can claim it meanwhile.

create or replace function public.extend_object_leases(
  claims uuid[],
  objects uuid[],
  lease_seconds integer
)
returns setof uuid
language plpgsql
security invoker
set search_path = ''
as $$
begin
  with claimed as (
    select i.object_id, i.version
    from public.storage_intake as i
    where i.object_id = any (extend_object_leases.objects)
      and i.claim = any (extend_object_leases.claims)
      and i.outcome = 'taking'
    order by i.object_id
    for update skip locked
  )
  update public.storage_intake as i
  set due_at = clock_timestamp() + make_interval(secs => extend_object_leases.lease_seconds)
  from claimed
  where i.object_id = claimed.object_id and i.version = claimed.version;

  return query
  select distinct i.object_id
  from public.storage_intake as i
  where i.object_id = any (extend_object_leases.objects)
    and i.claim = any (extend_object_leases.claims);
end
$$;

revoke execute on function public.extend_object_leases(uuid[], uuid[], integer) from public, anon, authenticated;
grant execute on function public.extend_object_leases(uuid[], uuid[], integer) to service_role;
comment on function public.extend_object_leases(uuid[], uuid[], integer) is
  'Extends the leases of uploads that are being taken in. Returns every object still under one of the claims.';

-- Give back ----------------------------------------------------------------------------------

create or replace function public.release_objects(
  claims uuid[],
  objects uuid[],
  reason text default null,
  delay_seconds double precision default 0,
  counted boolean default false
)
returns setof uuid
language plpgsql
security invoker
set search_path = ''
as $$
begin
  with claimed as (
    select i.object_id, i.version
    from public.storage_intake as i
    where i.object_id = any (release_objects.objects)
      and i.claim = any (release_objects.claims)
      and i.outcome = 'taking'
    order by i.object_id
    for update skip locked
  )
  update public.storage_intake as i
  set
    outcome = 'waiting',
    detail = coalesce(release_objects.reason, i.detail),
    attempts = case when counted then i.attempts else greatest(i.attempts - 1, 0) end,
    due_at = clock_timestamp() + make_interval(secs => greatest(delay_seconds, 0))
  from claimed
  where i.object_id = claimed.object_id and i.version = claimed.version;

  return query
  select distinct i.object_id
  from public.storage_intake as i
  where i.object_id = any (release_objects.objects)
    and i.claim = any (release_objects.claims)
    and i.outcome = 'waiting';
end
$$;

revoke execute on function public.release_objects(uuid[], uuid[], text, double precision, boolean) from public, anon, authenticated;
grant execute on function public.release_objects(uuid[], uuid[], text, double precision, boolean) to service_role;
comment on function public.release_objects(uuid[], uuid[], text, double precision, boolean) is
  'Lets uploads wait again for delay_seconds, with what they wait for; the attempt is counted or not. Returns those that wait.';

-- What is left -------------------------------------------------------------------------------

create or replace function public.count_pending_objects(bucket text)
returns table (waiting bigint, due bigint, taking bigint)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    count(*) filter (where i.outcome = 'waiting'),
    count(*) filter (where i.due_at <= now()),
    count(*) filter (where i.outcome = 'taking')
  from public.storage_intake as i
  where i.bucket_id = count_pending_objects.bucket
    and i.outcome in ('waiting', 'taking')
$$;

revoke execute on function public.count_pending_objects(text) from public, anon, authenticated;
grant execute on function public.count_pending_objects(text) to service_role;
comment on function public.count_pending_objects(text) is
  'How many uploads of a bucket wait, how many uploads are due, and how many are being taken in.';
