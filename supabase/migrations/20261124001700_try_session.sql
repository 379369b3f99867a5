-- Tries whether the table takes a session, all the way, and takes it back.
--
-- Reason: a column of the owner's that must not be empty, a foreign key or a trigger would refuse
-- every session, and nobody would know before the first upload. Nothing is left behind: all of it
-- happens in a block that ends with an error, so Realtime publishes nothing either.

set local lock_timeout = '5s';

create or replace function public.try_session()
returns table (code text, reason text, said text)
language plpgsql
security invoker
set search_path = ''
set lock_timeout = '2s'
as $$
declare
  made record;
  trial uuid := gen_random_uuid();
  step text := 'made';
  outcome text;
  state text;
  message text;
  relation text;
  refused_column text;
  rule text;
  context text;
begin
  begin
    select * into made
    from public.create_session(
      'c3d-worker-check/' || trial || '.c3d',
      encode(sha256(convert_to(trial::text, 'UTF8')), 'hex'),
      1,
      trial || '.c3d'
    );
    if made.code is null then
      step := 'claimed';
      update public.therapy_sessions as s
      set
        processing_status = 'processing',
        processing_attempts = 1,
        processing_claim = trial,
        processing_due_at = clock_timestamp() + interval '1 minute'
      where s.id = made.session_id;
      if not found then
        raise exception 'a trigger skips the change' using errcode = 'triggered_action_exception';
      end if;
      step := 'completed';
      outcome := public.complete_session(
        made.session_id, trial, '{"channel_count": 0, "channel_names": []}',
        encode(sha256(convert_to(trial::text, 'UTF8')), 'hex')
      );
      if outcome <> 'completed' then
        raise exception 'complete_session says %', outcome using errcode = 'triggered_action_exception';
      end if;
      set constraints all immediate;
    end if;
    raise exception 'taken back' using errcode = 'C3D00';
  exception
    when sqlstate 'C3D00' then
      code := made.code;
      reason := made.reason;
      said := made.said;
    when assert_failure or others then
      get stacked diagnostics
        state = returned_sqlstate,
        message = message_text,
        relation = table_name,
        refused_column = column_name,
        rule = constraint_name,
        context = pg_exception_context;
      if public.is_trouble(state) then
        raise;
      end if;
      code := 'schema_refuses';
      reason := format(
        'A session cannot be %s. %s', step,
        public.explain_refusal(state, relation, refused_column, rule, context)
      );
      said := format('%s (%s)', rtrim(message, '.'), state);
  end;
  return next;
end
$$;

revoke execute on function public.try_session() from public, anon, authenticated;
grant execute on function public.try_session() to service_role;
comment on function public.try_session() is
  'Makes, claims and completes a session, and takes all of it back. Says why the table refuses one, as create_session does; empty: it takes sessions.';
