-- A session is made, or the reason is told why the table does not take it.
--
-- Reason: the table may have rules of its owner: a foreign key, a column that must not be empty, a
-- trigger. None of them is the recording's fault, so none may end an upload. What is refused is
-- told by kind: the patient is not known yet, another session has the path, or the schema refuses
-- every session alike. Only the database can name the column, the rule or the trigger.

set local lock_timeout = '5s';
-- Rules --------------------------------------------------------------------------------------

-- Whether a constraint or a unique index is one of therapy_sessions over this column, alone or with others.
create or replace function public.is_rule_of(rule text, column_name text)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select exists (
    select
    from pg_catalog.pg_attribute as a
    where a.attrelid = 'public.therapy_sessions'::regclass
      and a.attname = is_rule_of.column_name
      and (
        exists (
          select from pg_catalog.pg_constraint as c
          where c.conrelid = a.attrelid and c.conname = is_rule_of.rule and a.attnum = any (c.conkey)
        )
        or exists (
          select
          from pg_catalog.pg_index as x
          join pg_catalog.pg_class as n on n.oid = x.indexrelid
          where x.indrelid = a.attrelid and n.relname = is_rule_of.rule and a.attnum = any (x.indkey)
        )
      )
  )
$$;

revoke execute on function public.is_rule_of(text, text) from public, anon, authenticated;
grant execute on function public.is_rule_of(text, text) to service_role;
comment on function public.is_rule_of(text, text) is
  'Whether a constraint or a unique index of this name is one of therapy_sessions over this column.';

-- What refuses a change of therapy_sessions, and the statement that cures it.
create or replace function public.explain_refusal(
  state text,
  relation text,
  column_name text,
  rule text,
  context text  -- of the error: the functions that were called, a trigger's among them
)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  culprit record;
  empty_columns name[] := array[explain_refusal.column_name];
begin
  if state = '23502' and relation = 'therapy_sessions' then
    if explain_refusal.context like '%function public.create_session(%' then
      -- PostgreSQL names one column. A new row lacks the others too, unless a trigger sees to them.
      empty_columns := empty_columns || array(
        select a.attname
        from pg_catalog.pg_attribute as a
        where a.attrelid = 'public.therapy_sessions'::regclass
          and a.attnum > 0 and not a.attisdropped
          and a.attnotnull and not a.atthasdef and a.attidentity = ''
          and a.attname <> all (array[
            explain_refusal.column_name, 'file_path', 'file_hash', 'file_size_bytes',
            'original_filename', 'patient_id', 'patient_code', 'processing_status', 'hash_measured_at'
          ])
          and not exists (
            select
            from pg_catalog.pg_trigger as g
            join pg_catalog.pg_proc as p on p.oid = g.tgfoid
            where g.tgrelid = a.attrelid and not g.tgisinternal
              and g.tgtype & 7 = 7  -- before each inserted row
              and strpos(lower(p.prosrc), lower('new.' || quote_ident(a.attname))) > 0
          )
        order by a.attnum
      );
    end if;
    return (
      select format(
        '%s must not be empty, and nothing fills %s: alter table public.therapy_sessions %s; or give %s a default.',
        string_agg(format('therapy_sessions.%I', empty.name), ' and ' order by empty.place),
        case count(*) when 1 then 'it' else 'them' end,
        string_agg(format('alter column %I drop not null', empty.name), ', ' order by empty.place),
        case count(*) when 1 then 'it' else 'each' end
      )
      from unnest(empty_columns) with ordinality as empty (name, place)
    );
  elsif state like '23%' and relation = 'therapy_sessions' and rule <> '' then
    return format(
      'The rule %1$I of therapy_sessions refuses the session (%2$s): correct it, or alter table public.therapy_sessions drop constraint %1$I;',
      rule, state
    );
  end if;

  select t.tgname as name, t.tgfoid::regproc as function into culprit
  from regexp_matches(explain_refusal.context, 'function ([^ (]+)\(', 'g') as called (names)
  join pg_catalog.pg_trigger as t on t.tgfoid = to_regproc(called.names[1])
  where t.tgrelid = 'public.therapy_sessions'::regclass and not t.tgisinternal
  limit 1;
  if found then
    return format(
      'The trigger %1$I of therapy_sessions refuses the session (%3$s): correct its function %2$s, or alter table public.therapy_sessions disable trigger %1$I;',
      culprit.name, culprit.function, state
    );
  elsif state = '42501' then
    return 'The role service_role may not write therapy_sessions (42501): grant select, insert, update, delete on public.therapy_sessions to service_role;';
  end if;
  return format(
    'The table %s refuses the session (%s).', coalesce(nullif(relation, ''), 'therapy_sessions'), state
  );
end
$$;

revoke execute on function public.explain_refusal(text, text, text, text, text) from public, anon, authenticated;
grant execute on function public.explain_refusal(text, text, text, text, text) to service_role;
comment on function public.explain_refusal(text, text, text, text, text) is
  'Names the columns, the rule or the trigger of therapy_sessions that raised an error, and the statement that cures it.';

-- Create -------------------------------------------------------------------------------------

create or replace function public.create_session(
  file_path text,
  file_hash text,
  file_size_bytes bigint,
  original_filename text,
  patient text default null,
  status text default 'pending',
  measured boolean default false,  -- file_hash is that of the content, beyond doubt
  reserved_seconds double precision default 0  -- until others than who holds its bytes may claim it
)
returns table (
  session_id uuid,
  created boolean,
  code text,  -- why there is none: patient_unknown, path_held or schema_refuses
  reason text,
  said text  -- what the rule itself says, which may name a file or a patient
)
language plpgsql
security invoker
set search_path = ''
as $$
declare
  patient_id text := (select p.patient from public.find_patient(create_session.patient) as p);
  state text;
  message text;
  relation text;
  refused_column text;
  rule text;
  context text;
  holder uuid;
begin
  -- A rule that is checked at the end of the transaction could not be told from here.
  set constraints all immediate;

  for attempt in 1..3 loop
    begin
      execute format(
        'insert into public.therapy_sessions as s (
           file_path, file_hash, file_size_bytes, original_filename,
           patient_id, patient_code, processing_status, hash_measured_at, processing_due_at
         )
         values ($1, $2, $3, $4, $5::%s, $6, $7, $8, $9)
         returning s.id',
        public.patient_type()
      )
      into session_id
      using
        create_session.file_path, create_session.file_hash, create_session.file_size_bytes,
        create_session.original_filename,
        patient_id, case when patient_id is null then create_session.patient end,
        create_session.status,
        case when create_session.measured then clock_timestamp() end,
        now() + make_interval(secs => create_session.reserved_seconds);
      if session_id is null then
        raise exception 'A trigger before the insert leaves the row out'
          using errcode = 'triggered_action_exception';
      end if;
      created := true;
      return next;
      return;
    exception when assert_failure or others then
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
    end;

    created := false;
    if state = '23505' then
      select s.id into session_id
      from public.therapy_sessions as s
      where s.file_hash = create_session.file_hash
      for key share;  -- so that it is there until the caller has written it down
      if found then  -- made meanwhile, or by this very call before its reply was lost
        return next;
        return;
      end if;
      continue when public.is_rule_of(rule, 'file_hash');  -- and deleted meanwhile
    elsif state = '23503' and patient_id is not null and public.is_rule_of(rule, 'patient_id') then
      patient_id := null;  -- filled as soon as there is such a patient
      continue;
    end if;
    exit;
  end loop;

  said := format('%s (%s)', rtrim(message, '.'), state);
  select s.id into holder
  from public.therapy_sessions as s
  where s.file_path = create_session.file_path
  limit 1;

  if state = '23502' and relation = 'therapy_sessions' and refused_column = 'patient_id' then
    code := 'patient_unknown';
    reason := case
      when create_session.patient is null
        then 'The path names no patient, and therapy_sessions.patient_id must not be empty.'
      else 'The patient that the path names is not entered yet, and therapy_sessions.patient_id must not be empty.'
    end;
  elsif state = '23505' and holder is not null and public.is_rule_of(rule, 'file_path') then
    code := 'path_held';
    reason := format('Session %s has this file_path, and the rule %s allows one session for each.', holder, rule);
  else
    code := 'schema_refuses';
    reason := public.explain_refusal(state, relation, refused_column, rule, context);
  end if;
  return next;
end
$$;

revoke execute on function public.create_session(text, text, bigint, text, text, text, boolean, double precision) from public, anon, authenticated;
grant execute on function public.create_session(text, text, bigint, text, text, text, boolean, double precision) to service_role;
comment on function public.create_session(text, text, bigint, text, text, text, boolean, double precision) is
  'Makes the session of a file, or finds the one with its hash. Where the table takes none, it says why: patient_unknown, path_held or schema_refuses. A patient that is not known yet is left empty where that is allowed, and filled later.';

