-- Uploads that ended are taken in anew.
--
-- Reason: an upload may have been refused for what was cured since, or ended by rules that have
-- changed. What is gone or was overwritten stays as it is.

set local lock_timeout = '5s';

create or replace function public.retake_objects(
  which text,
  bucket text,
  named text default null,
  code text default null,
  ended_before timestamptz default null,
  batch_size integer default 1000,
  dry_run boolean default false
)
returns table (retaken bigint, ended_before_next timestamptz)
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if coalesce(retake_objects.which, '') not in ('refused', 'all', 'named') then
    raise exception 'retake_objects needs refused, all or named.'
      using errcode = 'invalid_parameter_value';
  end if;

  -- What ends meanwhile does not begin again: the next calls have the time of the first.
  ended_before_next := coalesce(retake_objects.ended_before, clock_timestamp());

  with ended as materialized (
    select i.object_id, i.version
    from public.storage_intake as i
    where i.bucket_id = retake_objects.bucket
      and case retake_objects.which
        when 'named' then
          retake_objects.named in (i.object_path, i.object_id::text)
          and i.outcome in ('waiting', 'session', 'duplicate', 'skipped', 'refused')
        when 'refused' then
          i.outcome = 'refused'
          and i.taken_at < ended_before_next
          and (retake_objects.code is null or retake_objects.code = public.code_of(i.detail))
        else
          i.outcome in ('session', 'duplicate', 'skipped', 'refused')
          and i.taken_at < ended_before_next
      end
      and public.is_current(i.object_id, i.version)
    limit case when not retake_objects.dry_run then retake_objects.batch_size end
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

revoke execute on function public.retake_objects(text, text, text, text, timestamptz, integer, boolean) from public, anon, authenticated;
grant execute on function public.retake_objects(text, text, text, text, timestamptz, integer, boolean) to service_role;
comment on function public.retake_objects(text, text, text, text, timestamptz, integer, boolean) is
  'Lets uploads wait again that ended and are still there: refused ones (of a code), all, or those at a path or of an object id, which are due at once where they wait. Changes batch_size of them, and says how many, and what ended_before is for the next call; with dry_run it counts all and changes nothing.';
