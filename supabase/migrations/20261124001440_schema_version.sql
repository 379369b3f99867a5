-- Which version of these functions the database has.
--
-- Reason: a worker and its SQL are two halves of one program, and they are updated one after the
-- other. A worker that meets another half claims nothing and says so. It is the number of the last
-- migration; whatever later one changes a function makes this one anew with its own.

set local lock_timeout = '5s';

create or replace function public.schema_version()
returns text
language sql
immutable
set search_path = ''
as $$
  select '20261124001700'
$$;

revoke execute on function public.schema_version() from public, anon, authenticated;
grant execute on function public.schema_version() to service_role;
comment on function public.schema_version() is
  'The number of the migration that last changed what the worker calls. The worker compares it with its own.';
