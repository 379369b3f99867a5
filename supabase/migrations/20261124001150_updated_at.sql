-- updated_at tells when a session changed, not when somebody asked for its statistics.
--
-- Reason: every hit of the cache is counted on the session's row. That is no change of the
-- session, and whoever looks for what changed lately should not find what was merely looked at.
--
-- Rows are compared byte by byte, because an old table may hold columns whose type has no equality.

set local lock_timeout = '5s';

create or replace function public.touch_therapy_session()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
declare
  looked_at public.therapy_sessions := old;
begin
  looked_at.cache_hits := new.cache_hits;
  looked_at.last_accessed_at := new.last_accessed_at;
  if new operator(pg_catalog.*<>) looked_at then
    new.updated_at := now();
  end if;
  return new;
end
$$;

comment on column public.therapy_sessions.updated_at is
  'When any value of this row last changed, cache_hits and last_accessed_at aside.';
comment on function public.touch_therapy_session() is
  'Keeps updated_at, which the hits of the cache do not move. Called by the trigger of the same name.';
