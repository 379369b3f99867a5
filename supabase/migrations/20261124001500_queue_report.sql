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
  set_aside bigint,
  completed_in_10_minutes bigint,
  failed_by_code jsonb,
  uploads_waiting bigint,
  uploads_due bigint,
  uploads_taking bigint,
  uploads_refused bigint,
  uploads_duplicate bigint,
  uploads_oldest_age_seconds double precision,
  uploads_waiting_by_code jsonb,
  uploads_refused_by_code jsonb
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
      count(*) filter (where is_ready and s.processing_status = 'pending') as due,
      count(*) filter (where is_ready and s.processing_status = 'processing') as stuck,
      extract(
        epoch from now()
          - min(coalesce(s.processing_queued_at, s.created_at))
            filter (where is_ready and s.processing_status = 'pending')
      )::double precision as oldest_due_age_seconds,
      count(*) filter (
        where aside.session_id is not null
          and s.processing_status in ('pending', 'processing')
      ) as set_aside
    from public.therapy_sessions as s
    left join public.set_aside as aside on aside.session_id = s.id
    cross join lateral (
      select coalesce(s.processing_due_at, '-infinity') <= now()
        and coalesce(aside.until, '-infinity') <= now() as is_ready
    ) as clock
  ),
  uploads as (
    select
      count(*) filter (where i.outcome = 'waiting') as waiting,
      count(*) filter (where i.outcome = 'waiting' and i.due_at <= now()) as due,
      count(*) filter (where i.outcome = 'taking') as taking,
      count(*) filter (where i.outcome = 'refused') as refused,
      count(*) filter (where i.outcome = 'duplicate') as duplicate,
      extract(
        epoch from now()
          - min(i.announced_at) filter (where i.outcome in ('waiting', 'taking'))
      )::double precision as oldest_age_seconds
    from public.storage_intake as i
  ),
  upload_codes as (
    select
      i.outcome,
      coalesce(substring(i.detail from '^([a-z0-9_]+): '), 'unknown') as code,
      count(*) as uploads
    from public.storage_intake as i
    where i.outcome = 'refused' or (i.outcome = 'waiting' and i.detail is not null)
    group by 1, 2
  )
  select
    sessions.*,
    (
      select count(*)
      from public.c3d_technical_data as t
      where t.extracted_at > now() - interval '10 minutes'
    ),
    coalesce((select jsonb_object_agg(failures.code, failures.sessions) from failures), '{}'),
    uploads.waiting,
    uploads.due,
    uploads.taking,
    uploads.refused,
    uploads.duplicate,
    uploads.oldest_age_seconds,
    coalesce((
      select jsonb_object_agg(c.code, c.uploads) from upload_codes as c where c.outcome = 'waiting'
    ), '{}'),
    coalesce((
      select jsonb_object_agg(c.code, c.uploads) from upload_codes as c where c.outcome = 'refused'
    ), '{}')
  from sessions, uploads
$$;

revoke execute on function public.queue_report() from public, anon, authenticated;
grant execute on function public.queue_report() to service_role;
comment on function public.queue_report() is
  'One row: sessions by status; due (pending, and not put off); stuck (their worker stopped); for how many seconds the oldest of the due could have been read; set aside (their rows refuse to be changed); how many were read in the last ten minutes; failed ones by code; uploads by outcome, those that are due, for how many seconds the oldest has been waiting, and codes of what they wait for and why they were refused.';
