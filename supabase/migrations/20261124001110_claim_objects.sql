-- Uploads are claimed, extended and given back, as sessions are.
--
-- Reason: several workers share one queue of uploads, and each of them may die. Every function is
-- safe to call again after a lost reply, and a worker whose lease went to another changes nothing
-- and is told so.
--
-- As with sessions, each claim says where the next one has to look: what is due since due_since; and of
-- the newest, what came since newest_since, else what was due until newest_until. What came between
-- those two was claimed.

set local lock_timeout = '5s';

-- Claim --------------------------------------------------------------------------------------

create or replace function public.claim_objects(
  claim uuid,
  bucket text,
  batch_size integer,
  lease_seconds integer,
  only_object uuid default null,
  due_since timestamptz default null,
  newest_since timestamptz default null,
  newest_until timestamptz default null
)
returns table (
  object_id uuid,
  version text,
  object_path text,
  size_bytes bigint,
  attempts integer,
  waited_for text,  -- the code of what it was put off for last
  next_due_since timestamptz,  -- of a last row alone, which is no upload
  next_newest_since timestamptz,
  next_newest_until timestamptz
)
language plpgsql
security invoker
set search_path = ''
set plan_cache_mode = 'force_custom_plan'  -- one object and a whole queue want different plans
as $$
declare
  right_now timestamptz;
  lease_end timestamptz;
  claimed boolean;
  taken bigint;
  behind_until timestamptz;
  bounded boolean := num_nulls(
    claim_objects.due_since, claim_objects.newest_since, claim_objects.newest_until
  ) = 0;
  since timestamptz := case when bounded then claim_objects.due_since else '-infinity' end;
  fresh_since timestamptz := case when bounded then claim_objects.newest_since else '-infinity' end;
  until timestamptz := case when bounded then claim_objects.newest_until else 'infinity' end;
  -- Somebody waits for what was uploaded just now, also behind a backlog of thousands: the newest
  -- comes first in each batch, and in every second one where batches are of one.
  for_newest integer := case when claim_objects.batch_size > 1 or random() < 0.5 then 1 else 0 end;
begin
  -- A repeat of this very call waits here until the first is done, then gets the first's rows.
  perform pg_advisory_xact_lock(hashtextextended('claim_objects ' || claim_objects.claim::text, 0));
  right_now := clock_timestamp();
  lease_end := right_now + make_interval(secs => claim_objects.lease_seconds);

  select true into claimed
  from public.storage_intake as i
  where i.outcome = 'taking' and i.claim = claim_objects.claim
  limit 1;
  if claimed then
    -- The caller counts the lease from this call, not from the one whose reply it never got.
    with mine as (
      select i.object_id, i.version
      from public.storage_intake as i
      where i.outcome = 'taking' and i.claim = claim_objects.claim
      for update skip locked
    )
    update public.storage_intake as i
    set due_at = lease_end
    from mine
    where i.object_id = mine.object_id and i.version = mine.version;
  end if;

  for look in 1..2 loop
    exit when claimed;
    with fresh as materialized (
      select i.object_id, i.version
      from public.storage_intake as i
      where i.outcome in ('waiting', 'taking')
        and i.due_at >= fresh_since
        and i.due_at <= right_now
        and i.bucket_id = claim_objects.bucket
        and (claim_objects.only_object is null or i.object_id = claim_objects.only_object)
      order by i.due_at desc
      limit for_newest
      for update skip locked
    ),
    behind as materialized (
      select i.object_id, i.version, i.due_at
      from public.storage_intake as i
      where not exists (select from fresh)
        and fresh_since > '-infinity'
        and i.outcome in ('waiting', 'taking')
        and i.due_at <= until
        and i.bucket_id = claim_objects.bucket
        and (claim_objects.only_object is null or i.object_id = claim_objects.only_object)
      order by i.due_at desc
      limit for_newest
      for update skip locked
    ),
    newest as (
      select f.object_id, f.version, null::timestamptz as was_due_at from fresh as f
      union all
      select b.object_id, b.version, b.due_at from behind as b
    ),
    oldest as materialized (
      select i.object_id, i.version, null::timestamptz as was_due_at
      from public.storage_intake as i
      where i.outcome in ('waiting', 'taking')
        and i.due_at >= since
        and i.due_at <= right_now
        and i.bucket_id = claim_objects.bucket
        and (claim_objects.only_object is null or i.object_id = claim_objects.only_object)
        and (i.object_id, i.version) not in (select n.object_id, n.version from newest as n)
      order by i.due_at
      limit claim_objects.batch_size - for_newest
      for update skip locked
    ),
    due as (
      select * from newest
      union all
      select * from oldest
    ),
    started as (
      update public.storage_intake as i
      set
        outcome = 'taking',
        attempts = i.attempts + 1,
        claim = claim_objects.claim,
        due_at = lease_end
      from due
      where i.object_id = due.object_id and i.version = due.version
      returning due.was_due_at
    )
    select count(*), min(started.was_due_at) into taken, behind_until from started;
    until := least(until, behind_until);
    exit when taken = 0;  -- nothing is due

    -- What was overwritten or deleted before it was taken in is not downloaded any more.
    update public.storage_intake as i
    set outcome = public.end_of_object(i.object_id), due_at = null, taken_at = right_now
    where i.outcome = 'taking'
      and i.claim = claim_objects.claim
      and not public.is_current(i.object_id, i.version);
    claimed := exists (
      select
      from public.storage_intake as i
      where i.outcome = 'taking' and i.claim = claim_objects.claim
    );
    if not claimed and look = 1 and claim_objects.only_object is null then
      -- A folder may have been deleted: its uploads end by the thousand, not by the batch.
      with head as materialized (
        select i.object_id, i.version
        from public.storage_intake as i
        where i.outcome in ('waiting', 'taking')
          and i.due_at >= since
          and i.due_at <= right_now
          and i.bucket_id = claim_objects.bucket
        order by i.due_at
        limit 1000
      ),
      stale as (
        select i.object_id, i.version
        from head
        join public.storage_intake as i
          on i.object_id = head.object_id and i.version = head.version
        where i.outcome in ('waiting', 'taking')
          and i.due_at <= right_now
          and not public.is_current(head.object_id, head.version)
        for update of i skip locked
      )
      update public.storage_intake as i
      set outcome = public.end_of_object(i.object_id), due_at = null, taken_at = right_now
      from stale
      where i.object_id = stale.object_id and i.version = stale.version;
    end if;
  end loop;

  if not claimed and taken > 0 then
    return next;  -- a row that says nothing: uploads were ended only, and more may be due
    return;
  end if;

  return query
  select
    i.object_id, i.version, i.object_path, i.size_bytes, i.attempts, public.code_of(i.detail),
    null::timestamptz, null::timestamptz, null::timestamptz
  from public.storage_intake as i
  where i.outcome = 'taking' and i.claim = claim_objects.claim
  order by i.announced_at desc, i.object_path;  -- the newest is downloaded first

  if bounded then
    next_due_since := public.first_due(claim_objects.bucket, since, right_now);
    next_newest_since := case
      when fresh_since > '-infinity'
        then public.first_due(claim_objects.bucket, fresh_since, right_now)
      else right_now - interval '2 seconds'
    end;
    next_newest_until := least(until, right_now - interval '2 seconds');
    return next;
  end if;
end
$$;

revoke execute on function public.claim_objects(
  uuid, text, integer, integer, uuid, timestamptz, timestamptz, timestamptz
) from public, anon, authenticated;
grant execute on function public.claim_objects(
  uuid, text, integer, integer, uuid, timestamptz, timestamptz, timestamptz
) to service_role;
comment on function public.claim_objects(
  uuid, text, integer, integer, uuid, timestamptz, timestamptz, timestamptz
) is
  'Claims uploads that are due, the newest and those longest due, with a lease of lease_seconds. The same claim again gets the same uploads, with a new lease. What was overwritten or moved or deleted meanwhile ends as superseded or gone, little more than 1,000 of them in a call; where nothing else was found, one row that says nothing means: call again. With due_since, newest_since and newest_until (-infinity, -infinity, infinity: look at all) a last row without an object says those of the next call.';

create or replace function public.first_due(bucket text, since timestamptz, right_now timestamptz)
returns timestamptz
language sql
stable
security invoker
set search_path = ''
as $$
  select least(
    first_due.right_now - interval '2 seconds',  -- within which an upload commits
    (
      select i.due_at
      from public.storage_intake as i
      where i.outcome in ('waiting', 'taking')
        and i.due_at >= first_due.since
        and i.due_at <= first_due.right_now
        and i.bucket_id = first_due.bucket
      order by i.due_at
      limit 1
    )
  )
$$;

revoke execute on function public.first_due(text, timestamptz, timestamptz) from public, anon, authenticated;
grant execute on function public.first_due(text, timestamptz, timestamptz) to service_role;
comment on function public.first_due(text, timestamptz, timestamptz) is
  'Since when an upload of a bucket has been due that nobody has claimed: two seconds ago at the latest. A step of claim_objects.';

create or replace function public.code_of(detail text)
returns text
language sql
immutable
set search_path = ''
as $$
  select substring(code_of.detail from '^([a-z0-9_]+): ')
$$;

revoke execute on function public.code_of(text) from public, anon, authenticated;
grant execute on function public.code_of(text) to service_role;
comment on function public.code_of(text) is
  'The code before the sentence of a detail. Empty where there is none.';

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
    where o.id = is_current.object
      and coalesce(o.version, '') = is_current.version
      and public.is_live(to_jsonb(o))
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
-- A row that somebody else has locked is passed over: nobody can claim it meanwhile. Once the lock
-- is gone, the lease is what it was: the caller extends it then.

create or replace function public.extend_object_leases(
  claims uuid[],
  objects uuid[],
  lease_seconds integer
)
returns table (object uuid, extended boolean)
language plpgsql
security invoker
set search_path = ''
as $$
declare
  moved uuid[];
begin
  with claimed as (
    select i.object_id, i.version
    from public.storage_intake as i
    where i.object_id = any (extend_object_leases.objects)
      and i.claim = any (extend_object_leases.claims)
      and i.outcome = 'taking'
    order by i.object_id
    for update skip locked
  ),
  extended as (
    update public.storage_intake as i
    set due_at = clock_timestamp() + make_interval(secs => extend_object_leases.lease_seconds)
    from claimed
    where i.object_id = claimed.object_id and i.version = claimed.version
    returning i.object_id
  )
  select coalesce(array_agg(extended.object_id), '{}') into moved from extended;

  return query
  select i.object_id, bool_or(i.object_id = any (moved) or i.outcome <> 'taking')
  from public.storage_intake as i
  where i.object_id = any (extend_object_leases.objects)
    and i.claim = any (extend_object_leases.claims)
  group by i.object_id;
end
$$;

revoke execute on function public.extend_object_leases(uuid[], uuid[], integer) from public, anon, authenticated;
grant execute on function public.extend_object_leases(uuid[], uuid[], integer) to service_role;
comment on function public.extend_object_leases(uuid[], uuid[], integer) is
  'Extends the leases of uploads that are being taken in. Returns every object still under one of the claims, ended ones too; extended is false where somebody else has locked the row.';

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
    attempts = case
      when not counted then greatest(i.attempts - 1, 0)
      when public.code_of(reason) is distinct from public.code_of(i.detail) then 1
      else i.attempts
    end,
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
  'Lets uploads wait again for delay_seconds, with what they wait for; the attempt is counted or not, and from one on where they wait for something else than before. Returns those that wait.';

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
