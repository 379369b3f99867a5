-- Uploads that ended are taken in anew.
--
-- Reason: an upload may have been refused for what was cured since, or ended by rules that have
-- changed. What is gone or was overwritten stays as it is. A call goes through the uploads in the order
-- of their objects and looks at batch_size of them, so that it stays within the API's time limit; the
-- caller goes on after the last object.

set local lock_timeout = '5s';

create or replace function public.retake_objects(
  which text,
  bucket text,
  named text default null,
  code text default null,
  ended_before timestamptz default null,
  after_object uuid default null,
  batch_size integer default 1000,
  dry_run boolean default false
)
returns table (retaken bigint, ended_before_next timestamptz, last_object uuid)
language plpgsql
security invoker
set search_path = ''
set plan_cache_mode = 'force_custom_plan'  -- each kind has its own
as $$
declare
  objects uuid[];
begin
  if coalesce(retake_objects.which, '') not in ('refused', 'all', 'named') then
    raise exception 'retake_objects needs refused, all or named.'
      using errcode = 'invalid_parameter_value';
  end if;

  -- What ends meanwhile does not begin again: the next calls have the time of the first.
  ended_before_next := coalesce(retake_objects.ended_before, clock_timestamp());

  if retake_objects.which = 'named' then
    objects := array(
      select o.id
      from storage.objects as o
      where o.bucket_id = retake_objects.bucket and o.name = retake_objects.named
    );
    if retake_objects.named ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then
      objects := objects || retake_objects.named::uuid;
    end if;
  else
    objects := array(
      select i.object_id
      from public.storage_intake as i
      where (retake_objects.after_object is null or i.object_id > retake_objects.after_object)
        and (retake_objects.which = 'all' or i.outcome = 'refused')
      order by i.object_id
      limit retake_objects.batch_size
    );
    last_object := objects[cardinality(objects)];
  end if;

  with ended as materialized (
    select i.object_id, i.version
    from unnest(objects) as named (object_id)
    cross join lateral (  -- one by one, by the index
      select known.* from public.storage_intake as known
      where known.object_id = named.object_id
      offset 0
    ) as i
    where i.bucket_id = retake_objects.bucket
      and case retake_objects.which
        when 'named' then i.outcome in ('waiting', 'session', 'duplicate', 'skipped', 'refused')
        when 'refused' then
          i.outcome = 'refused'
          and i.taken_at < ended_before_next
          and (retake_objects.code is null or retake_objects.code = coalesce(public.code_of(i.detail), 'unknown'))
        else
          i.outcome in ('session', 'duplicate', 'skipped', 'refused')
          and i.taken_at < ended_before_next
      end
      and public.is_current(i.object_id, i.version)
  ),
  again as (
    update public.storage_intake as i
    set
      outcome = 'waiting', session_id = null, detail = null, attempts = 0, claim = null,
      due_at = clock_timestamp(), taken_at = null
    from ended
    where not retake_objects.dry_run
      and i.object_id = ended.object_id and i.version = ended.version
    returning 1
  )
  select case when retake_objects.dry_run
    then (select count(*) from ended)
    else (select count(*) from again)
  end into retaken;
  return next;
end
$$;

revoke execute on function public.retake_objects(
  text, text, text, text, timestamptz, uuid, integer, boolean
) from public, anon, authenticated;
grant execute on function public.retake_objects(
  text, text, text, text, timestamptz, uuid, integer, boolean
) to service_role;
comment on function public.retake_objects(
  text, text, text, text, timestamptz, uuid, integer, boolean
) is
  'Lets uploads wait again that ended and are still there: refused ones (of a code), all, or those at a path or of an object id, which are due at once where they wait. Of many, a call looks at batch_size after after_object, in the order of their objects, and says how many, what ended_before is for the next call, and the last object: go on after it until there is none. With dry_run it only counts.';
