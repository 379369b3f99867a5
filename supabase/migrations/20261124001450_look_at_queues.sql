-- One look says whether there is anything to do.
--
-- Reason: Realtime promises nothing, so each worker reads both queues now and then. Reading them is
-- one cheap call, and an idle project pays for no more. The call also says when it is worth the next
-- one: what was put off, or reserved for a worker that has stopped, announces itself to nobody.

set local lock_timeout = '5s';

create or replace function public.look_at_queues(bucket text, every_file boolean)
returns table (
  schema_version text,
  sessions_due boolean,
  uploads_due boolean,
  next_due_seconds double precision,  -- until what waits is due; null: nothing in an hour
  announcing boolean,  -- a trigger announces the uploads of this bucket
  last_missed bigint,  -- bell of an upload that could not be noted
  patients_awaited boolean  -- sessions wait for patients that may be entered by now
)
language plpgsql  -- which, unlike sql, may call what a later migration makes
stable
security invoker
set search_path = ''
as $$
begin
  schema_version := public.schema_version();
  sessions_due := (
    select num_nonnulls(due.waiting, due.abandoned) > 0
    from public.still_due(now(), '-infinity', '-infinity') as due
  );
  uploads_due := exists (
    select
    from public.storage_intake as i
    where i.outcome in ('waiting', 'taking')
      and i.due_at <= now()
      and i.bucket_id = look_at_queues.bucket
  );
  next_due_seconds := extract(epoch from least(
    (
      select coalesce(s.processing_due_at, '-infinity')
      from public.therapy_sessions as s
      where s.processing_status = 'pending'
        and coalesce(s.processing_due_at, '-infinity') > now()
        and coalesce(s.processing_due_at, '-infinity') < now() + interval '1 hour'
      order by coalesce(s.processing_due_at, '-infinity'), s.created_at
      limit 1
    ),
    (
      select i.due_at
      from public.storage_intake as i
      where i.outcome in ('waiting', 'taking')  -- by its index
        and i.outcome = 'waiting'
        and i.due_at > now()
        and i.due_at < now() + interval '1 hour'
        and i.bucket_id = look_at_queues.bucket
      order by i.due_at
      limit 1
    )
  ) - now());
  announcing := public.is_announcing(look_at_queues.bucket, look_at_queues.every_file);
  last_missed := (select max(b.id) from public.worker_bells as b where b.kind = 'missed');
  patients_awaited := (  -- the first, by its index
    select min(s.patient_code) is not null from public.therapy_sessions as s
  );
  return next;
end
$$;

revoke execute on function public.look_at_queues(text, boolean) from public, anon, authenticated;
grant execute on function public.look_at_queues(text, boolean) to service_role;
comment on function public.look_at_queues(text, boolean) is
  'Whether sessions and uploads of this bucket are due, in how many seconds the next one is, whether a trigger announces its uploads, and what else a worker has to look after. Changes nothing.';
