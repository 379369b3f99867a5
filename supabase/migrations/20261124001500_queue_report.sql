-- The numbers of the queue and of the uploads, for the people who operate the worker.
--
-- Reason: PostgREST answers at most 1,000 rows, so counting over the API would take many calls. One
-- call counts everything, and `c3d-worker status` and /metrics say the same.
--
-- What waits, is in hand or has failed is few, and counted. What is finished is counted up to 10,000
-- rows: counting a million takes a second, and a counter that every completion updates would have the
-- workers wait for each other. Beyond, the number is the planner's estimate, and `estimated` names it.

set local lock_timeout = '5s';

create index if not exists c3d_technical_data_extracted on public.c3d_technical_data (extracted_at);

-- The errors that came last, and all that failed; in the order in which they are listed.
create index if not exists therapy_sessions_errors
on public.therapy_sessions (updated_at desc nulls last, id desc)
where processing_status = 'failed' or (processing_status = 'pending' and processing_attempts > 0);

create or replace function public.rows_estimated(relation regclass, column_name text, value text)
returns bigint
language plpgsql
volatile  -- as whatever explains a statement
security invoker
set search_path = ''
as $$
declare
  plan jsonb;
begin
  execute format(
    'explain (format json) select from %s where %I = %L',
    rows_estimated.relation, rows_estimated.column_name, rows_estimated.value
  ) into plan;
  return (plan #>> '{0,Plan,Plan Rows}')::bigint;
end
$$;

revoke execute on function public.rows_estimated(regclass, text, text) from public, anon, authenticated;
grant execute on function public.rows_estimated(regclass, text, text) to service_role;
comment on function public.rows_estimated(regclass, text, text) is
  'About how many rows have a value in a column, as the planner estimates it from the statistics of the table and its size now.';

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
  uploads_refused_by_code jsonb,
  estimated text[]
)
language plpgsql
volatile  -- as rows_estimated
security invoker
set search_path = ''
as $$
declare
  counted_up_to constant integer := 10000;
begin
  estimated := '{}';

  select
    count(*) filter (where s.processing_status = 'pending'),
    count(*) filter (where s.processing_status = 'processing'),
    count(*) filter (where is_ready and s.processing_status = 'pending'),
    count(*) filter (where is_ready and s.processing_status = 'processing'),
    extract(
      epoch from now()
        - min(coalesce(s.processing_queued_at, s.created_at))
          filter (where is_ready and s.processing_status = 'pending')
    ),
    count(aside.session_id)
  into pending, processing, due, stuck, oldest_due_age_seconds, set_aside
  from public.therapy_sessions as s
  left join public.set_aside as aside on aside.session_id = s.id
  cross join lateral (
    select coalesce(s.processing_due_at, '-infinity') <= now()
      and coalesce(aside.until, '-infinity') <= now() as is_ready
  ) as clock
  where s.processing_status in ('pending', 'processing');

  select coalesce(sum(f.sessions), 0), coalesce(jsonb_object_agg(f.code, f.sessions), '{}')
  into failed, failed_by_code
  from (
    select coalesce(public.code_of(begins.head), 'unknown') as code, sum(begins.sessions) as sessions
    from (  -- so that few are taken apart
      select left(s.processing_error, strpos(s.processing_error, ': ') + 1) as head, count(*) as sessions
      from public.therapy_sessions as s
      where s.processing_status = 'failed'
      group by 1
    ) as begins
    group by 1
  ) as f;

  -- By the very expression of the index therapy_sessions_urgency.
  completed := (
    select count(*)
    from (
      select
      from public.therapy_sessions as s
      where case s.processing_status
          when 'failed' then 1
          when 'pending' then 2
          when 'processing' then 3
          when 'completed' then 4
          else 5
        end = 4
      limit counted_up_to + 1
    ) as counted
  );
  if completed > counted_up_to then
    estimated := estimated || 'completed'::text;
    completed := greatest(
      completed, public.rows_estimated('public.therapy_sessions', 'processing_status', 'completed')
    );
  end if;
  skipped := (
    select count(*)
    from (
      select
      from public.therapy_sessions as s
      where case s.processing_status
          when 'failed' then 1
          when 'pending' then 2
          when 'processing' then 3
          when 'completed' then 4
          else 5
        end = 5
      limit counted_up_to + 1
    ) as counted
  );
  if skipped > counted_up_to then
    estimated := estimated || 'skipped'::text;
    skipped := greatest(
      skipped, public.rows_estimated('public.therapy_sessions', 'processing_status', 'skipped')
    );
  end if;

  completed_in_10_minutes := (
    select count(*)
    from public.c3d_technical_data as t
    where t.extracted_at > now() - interval '10 minutes'
  );

  select
    count(*) filter (where i.outcome = 'waiting'),
    count(*) filter (where i.outcome = 'waiting' and i.due_at <= now()),
    count(*) filter (where i.outcome = 'taking'),
    extract(epoch from now() - min(i.announced_at))
  into uploads_waiting, uploads_due, uploads_taking, uploads_oldest_age_seconds
  from public.storage_intake as i
  where i.outcome in ('waiting', 'taking');

  uploads_waiting_by_code := coalesce((
    select jsonb_object_agg(w.code, w.uploads)
    from (
      select coalesce(public.code_of(begins.head), 'unknown') as code, sum(begins.uploads) as uploads
      from (
        select left(i.detail, strpos(i.detail, ': ') + 1) as head, count(*) as uploads
        from public.storage_intake as i
        where i.outcome in ('waiting', 'taking') and i.outcome = 'waiting' and i.detail is not null
        group by 1
      ) as begins
      group by 1
    ) as w
  ), '{}');

  select coalesce(sum(r.uploads), 0), coalesce(jsonb_object_agg(r.code, r.uploads), '{}')
  into uploads_refused, uploads_refused_by_code
  from (
    select coalesce(public.code_of(begins.head), 'unknown') as code, sum(begins.uploads) as uploads
    from (
      select left(i.detail, strpos(i.detail, ': ') + 1) as head, count(*) as uploads
      from public.storage_intake as i
      where i.outcome = 'refused'
      group by 1
    ) as begins
    group by 1
  ) as r;

  uploads_duplicate := (
    select count(*)
    from (
      select from public.storage_intake as i where i.outcome = 'duplicate' limit counted_up_to + 1
    ) as counted
  );
  if uploads_duplicate > counted_up_to then
    estimated := estimated || 'uploads_duplicate'::text;
    uploads_duplicate := greatest(
      uploads_duplicate, public.rows_estimated('public.storage_intake', 'outcome', 'duplicate')
    );
  end if;

  return next;
end
$$;

revoke execute on function public.queue_report() from public, anon, authenticated;
grant execute on function public.queue_report() to service_role;
comment on function public.queue_report() is
  'One row: sessions by status; due (pending, and not put off); stuck (their worker stopped); for how many seconds the oldest of the due could have been read; set aside (their rows refuse to be changed); how many were read in the last ten minutes; failed ones by code; uploads by outcome, those that are due, for how many seconds the oldest has been waiting, and codes of what they wait for and why they were refused. Estimated names the numbers that are about right: completed, skipped and uploads_duplicate beyond 10,000.';
