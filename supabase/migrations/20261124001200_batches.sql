-- Completes several sessions in one call, and notes which of them were read in part only.
--
-- Reason: with a backlog a call for each session costs more than reading its recording. Each is
-- completed as by complete_session and gets its own answer: values that the database refuses cost
-- their session only. Called again after a lost reply, it says the same.

set local lock_timeout = '5s';
set local client_min_messages = warning;

alter table public.therapy_sessions add column if not exists read_mode text;

set local client_min_messages = notice;

-- Complete -----------------------------------------------------------------------------------

create or replace function public.complete_sessions(completions jsonb)
returns table (session uuid, outcome text, refusal text)
language plpgsql
security invoker
set search_path = ''
as $$
#variable_conflict use_variable
declare
  given jsonb;
  mode text;
begin
  -- Always in the same order, so that two calls for the same sessions wait, and never deadlock.
  for given in
    select each.value
    from jsonb_array_elements(complete_sessions.completions) as each
    order by each.value ->> 'session'
  loop
    session := (given ->> 'session')::uuid;
    refusal := null;
    mode := case when given ->> 'content_hash' is null then 'header' end;
    begin
      outcome := public.complete_session(
        session,
        (given ->> 'claim')::uuid,
        given -> 'technical',
        coalesce(given ->> 'content_hash', (
          select lower(s.file_hash) from public.therapy_sessions as s where s.id = session
        )),
        coalesce(given -> 'game', '{}'),
        nullif(given -> 'statistics', 'null')
      );
      if outcome = 'completed' then
        update public.therapy_sessions as s
        set read_mode = mode
        where s.id = session and s.read_mode is distinct from mode;
      end if;
    exception when data_exception or integrity_constraint_violation then
      outcome := 'rejected';
      refusal := format('%s (%s)', rtrim(sqlerrm, '.'), sqlstate);
    end;
    return next;
  end loop;
end
$$;

-- Access -------------------------------------------------------------------------------------

revoke execute on function public.complete_sessions(jsonb) from public, anon, authenticated;
grant execute on function public.complete_sessions(jsonb) to service_role;

-- In words -----------------------------------------------------------------------------------

comment on column public.therapy_sessions.read_mode is
  'header: only the first part of the file was read, so its content was not compared with file_hash, and there are no statistics. Empty: all of it was, or it is not read yet.';
comment on function public.complete_sessions(jsonb) is
  'Completes several sessions, each as complete_session does: an array of objects with its arguments. Without content_hash it is noted that the content was not compared. Outcome: completed, duplicate, lost, or rejected, and then refusal says why.';
