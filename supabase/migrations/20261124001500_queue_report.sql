-- The numbers of the queue and of the uploads, for the people who operate the worker.
--
-- Reason: PostgREST answers at most 1,000 rows, so counting over the API would take many calls. One
-- call counts everything in one snapshot, and `c3d-worker status` and /metrics say the same.

set local lock_timeout = '5s';

create or replace function public.queue_report()
returns table (
  pending bigint,
  processing bigint,
  completed bigint,
  failed bigint,
  skipped bigint,
  due bigint,
  stuck bigint,
  oldest_due_age_seconds double precision,
  completed_in_10_minutes bigint,
  failed_by_code jsonb,
  uploads_refused bigint,
  uploads_duplicate bigint
)
language sql
stable
security invoker
set search_path = ''
as $$
  with failures as (
    select
      coalesce(substring(s.processing_error from '^([a-z0-9_]+): '), 'unknown') as code,
      count(*) as sessions
    from public.therapy_sessions as s
    where s.processing_status = 'failed'
    group by 1
  ),
  sessions as (
    select
      count(*) filter (where s.processing_status = 'pending') as pending,
      count(*) filter (where s.processing_status = 'processing') as processing,
      count(*) filter (where s.processing_status = 'completed') as completed,
      count(*) filter (where s.processing_status = 'failed') as failed,
      count(*) filter (where s.processing_status = 'skipped') as skipped,
      count(*) filter (where is_due) as due,
      count(*) filter (
        where s.processing_status = 'processing'
          and coalesce(s.processing_due_at, '-infinity') < now()
      ) as stuck,
      extract(
        epoch from now() - min(coalesce(s.processing_due_at, s.created_at)) filter (where is_due)
      )::double precision as oldest_due_age_seconds
    from public.therapy_sessions as s,
      lateral (
        select s.processing_status = 'pending'
          and coalesce(s.processing_due_at, '-infinity') <= now() as is_due
      ) as waiting
  ),
  uploads as (
    select
      count(*) filter (where i.outcome = 'refused') as refused,
      count(*) filter (where i.outcome = 'duplicate') as duplicate
    from public.storage_intake as i
  )
  select
    sessions.*,
    (
      select count(*)
      from public.c3d_technical_data as t
      where t.extracted_at > now() - interval '10 minutes'
    ),
    coalesce((select jsonb_object_agg(failures.code, failures.sessions) from failures), '{}'),
    uploads.refused,
    uploads.duplicate
  from sessions, uploads
$$;

revoke execute on function public.queue_report() from public, anon, authenticated;
grant execute on function public.queue_report() to service_role;
comment on function public.queue_report() is
  'One row: sessions by status; due (pending, and not put off); stuck (their worker stopped); for how many seconds the oldest of the due has been due; how many were read in the last ten minutes; failed ones by code; uploads that were refused, and uploads whose content had a session already.';
