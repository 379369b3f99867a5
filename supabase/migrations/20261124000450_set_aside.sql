-- Sessions whose own row refuses to be changed: by a trigger, a check, a rule of the project.
--
-- Reason: such a row cannot say what is wrong with it, because nothing can be written on it. So it
-- is written here, and the claim passes the session by for a while: one poisoned row at the head of
-- the queue stops nobody, and a person sees it in session_overview.

set local lock_timeout = '5s';

create table if not exists public.set_aside (
  session_id uuid primary key references public.therapy_sessions (id) on delete cascade,
  reason text not null,
  until timestamptz not null,
  times integer not null default 1
);

alter table public.set_aside enable row level security;
revoke all on public.set_aside from public, anon, authenticated;
grant select, insert, update, delete on public.set_aside to service_role;

comment on table public.set_aside is
  'Sessions whose row refuses to be changed, so that the queue passes them by. A row goes as soon as its session lets itself be claimed again.';
comment on column public.set_aside.session_id is 'The session.';
comment on column public.set_aside.reason is 'What refused the change: a code, then a sentence with what helps.';
comment on column public.set_aside.until is 'The queue passes the session by until then.';
comment on column public.set_aside.times is 'How often in a row it was set aside.';

create or replace function public.is_trouble(state text)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select left(is_trouble.state, 2) in ('08', '25', '40', '53', '57', '58', 'XX')
    or is_trouble.state in ('55P03', '55006')
$$;

revoke execute on function public.is_trouble(text) from public, anon, authenticated;
grant execute on function public.is_trouble(text) to service_role;
comment on function public.is_trouble(text) is
  'Whether an SQLSTATE is the trouble of the server, which says nothing of a row: resources, locks, deadlocks, an operator, the system.';

create or replace function public.is_outage(state text)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select left(is_outage.state, 2) in ('08', '25', '40', '53', '57')
$$;

revoke execute on function public.is_outage(text) from public, anon, authenticated;
grant execute on function public.is_outage(text) to service_role;
comment on function public.is_outage(text) is
  'Whether an SQLSTATE is the trouble of the server even where one row alone raises it. A lock, an extension''s error or damaged data is then that row''s own.';

create or replace function public.set_aside_session(session uuid, state text, message text)
returns void
language sql
security invoker
set search_path = ''
as $$
  insert into public.set_aside as aside (session_id, reason, until)
  values (
    set_aside_session.session,
    format(
      'row_refused: A rule of therapy_sessions refuses to change the row of this session: %s (%s). Correct the rule or the row; the session is attempted again by itself.',
      rtrim(set_aside_session.message, '.'), set_aside_session.state
    ),
    clock_timestamp() + interval '1 minute'
  )
  on conflict (session_id) do update
  set
    reason = excluded.reason,
    times = aside.times + 1,
    until = clock_timestamp() + least(interval '1 minute' * 2 ^ least(aside.times, 6), interval '1 hour')
$$;

revoke execute on function public.set_aside_session(uuid, text, text) from public, anon, authenticated;
grant execute on function public.set_aside_session(uuid, text, text) to service_role;
comment on function public.set_aside_session(uuid, text, text) is
  'Sets a session aside whose row refused a change with this SQLSTATE and message: for a minute, then twice as long each time, an hour at most.';
