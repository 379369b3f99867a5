-- Which version of these functions the database has.
--
-- Reason: a worker and its SQL are two halves of one program, and they are updated one after the
-- other. A worker that meets another half claims nothing and says so. It is a number
-- like those of the migrations, of the day on which a function changed last; whatever later migration
-- changes one makes this one anew.

set local lock_timeout = '5s';

create or replace function public.schema_version()
returns text
language sql
immutable
set search_path = ''
as $$
  select '20261127000000'
$$;

revoke execute on function public.schema_version() from public, anon, authenticated;
grant execute on function public.schema_version() to service_role;
comment on function public.schema_version() is
  'When what the worker calls changed last, as a number like those of the migrations. The worker compares it with its own.';
