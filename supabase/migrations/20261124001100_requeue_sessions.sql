-- Requeues many sessions at once: all that failed, or all that hold values of the old system.
--
-- Reason: after a cure thousands of sessions may be due again, and a call for each is slow over
-- the API. One call goes through the sessions in the order of their ids and stops after
-- batch_size, so that none runs into the API's time limit; the caller goes on behind the last id.
-- So each session is met once, even if a worker fails it again meanwhile.

set local lock_timeout = '5s';

create or replace function public.requeue_sessions(
  which text,
  reason text,
  code text default null,
  after_session uuid default null,
  batch_size integer default 1000,
  dry_run boolean default false
)
returns table (requeued bigint, last_session uuid)
language plpgsql
security invoker
set search_path = ''
as $$
declare
  found_sessions uuid[];
begin
  if coalesce(requeue_sessions.which, '') not in ('failed', 'migrated')
    or requeue_sessions.batch_size < 1
  then
    raise exception 'requeue_sessions needs failed or migrated, and a batch_size of 1 or more.'
      using errcode = 'invalid_parameter_value';
  end if;

  -- The values of the old system stay in c3d_technical_data until better ones take their place:
  -- a session that cannot be read fails, and keeps them.
  with met as (
    select s.id
    from public.therapy_sessions as s
    where (requeue_sessions.after_session is null or s.id > requeue_sessions.after_session)
      and case requeue_sessions.which
        when 'failed' then
          s.processing_status = 'failed'
          and (
            requeue_sessions.code is null
            or requeue_sessions.code
              = coalesce(substring(s.processing_error from '^([a-z0-9_]+): '), 'unknown')
          )
        else
          s.processing_status = 'completed'
          and (s.file_path ilike '%.c3d' or s.original_filename ilike '%.c3d')
          and exists (
            select
            from public.c3d_technical_data as t
            where t.session_id = s.id and t.extracted_at is null
          )
      end
    order by s.id
    limit requeue_sessions.batch_size
    for update
  )
  select array_agg(met.id order by met.id) into found_sessions from met;

  if not requeue_sessions.dry_run then
    perform public.requeue_session(found.id, requeue_sessions.reason, force => true)
    from unnest(found_sessions) as found (id);
  end if;

  return query
  select
    coalesce(cardinality(found_sessions), 0)::bigint,
    found_sessions[cardinality(found_sessions)];
end
$$;

-- Access -------------------------------------------------------------------------------------

revoke execute on function
  public.requeue_sessions(text, text, text, uuid, integer, boolean)
from public, anon, authenticated;
grant execute on function
  public.requeue_sessions(text, text, text, uuid, integer, boolean)
to service_role;

-- In words -----------------------------------------------------------------------------------

comment on function public.requeue_sessions(text, text, text, uuid, integer, boolean) is
  'Has the failed sessions (of a code) or the migrated ones read again, batch_size of them behind after_session in the order of their ids. Says how many, and the last id: go on behind it until there is none. With dry_run it only counts.';
