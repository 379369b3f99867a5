-- A session is made, or the reason is told why the table does not take it.
--
-- Reason: the table may have rules of its owner: a foreign key, a column that must not be empty, a
-- trigger. None of them is the recording's fault, so none may end an upload. What is refused is
-- told by kind: the patient is not known yet, another session has the path, or the schema refuses
-- every session alike. Only the database can name the column, the rule or the trigger.

set local lock_timeout = '5s';
set local client_min_messages = warning;

alter table public.therapy_sessions add column if not exists patient_code text;

set local client_min_messages = notice;

comment on column public.therapy_sessions.patient_code is
  'The patient''s code, as the path says it, while no such patient is known: patient_id is filled as soon as there is one. Empty otherwise.';

create index if not exists therapy_sessions_patient_code
  on public.therapy_sessions (patient_code) where patient_code is not null;

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

-- Create -------------------------------------------------------------------------------------

create or replace function public.create_session(
  file_path text,
  file_hash text,
  file_size_bytes bigint,
  original_filename text,
  patient text default null,
  status text default 'pending'
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
  patient_id text := create_session.patient;
  state text;
  message text;
  rule text;
  refused_column text;
  context text;
  holder uuid;
begin
  -- A rule that is checked at the end of the transaction could not be told from here.
  set constraints all immediate;

  <<attempts>>
  loop
    begin
      insert into public.therapy_sessions as s (
        file_path, file_hash, file_size_bytes, original_filename,
        patient_id, patient_code, processing_status
      )
      values (
        create_session.file_path, create_session.file_hash, create_session.file_size_bytes,
        create_session.original_filename,
        patient_id, case when patient_id is null then create_session.patient end,
        create_session.status
      )
      returning s.id into session_id;
      created := true;
      return next;
      return;
    exception when others then
      get stacked diagnostics
        state = returned_sqlstate,
        message = message_text,
        rule = constraint_name,
        refused_column = column_name,
        context = pg_exception_context;
      if public.is_trouble(state) then
        raise;
      end if;
    end;

    created := false;
    if state = '23505' then
      select s.id into session_id
      from public.therapy_sessions as s
      where s.file_hash = create_session.file_hash;
      if found then  -- made meanwhile, or by this very call before its reply was lost
        return next;
        return;
      end if;
    end if;

    if state = '23503' and patient_id is not null and public.is_rule_of(rule, 'patient_id') then
      patient_id := null;  -- filled as soon as there is such a patient
      continue attempts;
    end if;

    exit attempts;
  end loop;

  select s.id into holder
  from public.therapy_sessions as s
  where s.file_path = create_session.file_path
  limit 1;
  said := format('%s (%s)', rtrim(message, '.'), state);

  if state = '23502' and refused_column = 'patient_id' then
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
    reason := case
      when state = '23502' then format(
        'therapy_sessions.%1$I must not be empty and has no default: alter table public.therapy_sessions alter column %1$I set default …, or alter column %1$I drop not null.',
        refused_column
      )
      when state like '23%' and rule <> '' then format('The rule %I of therapy_sessions refuses the session (%s).', rule, state)
      when context ~ 'function (public\.)?create_session' and context !~ '^PL/pgSQL function (public\.)?create_session'
        and context ~ '^(PL/pgSQL|SQL) function' then format(
          'The function %s, which a trigger of therapy_sessions calls, refuses the session (%s).',
          substring(context from 'function ([^ (]+)'), state
        )
      else format('The table therapy_sessions refuses the session (%s).', state)
    end;
  end if;
  return next;
end
$$;

revoke execute on function public.create_session(text, text, bigint, text, text, text) from public, anon, authenticated;
grant execute on function public.create_session(text, text, bigint, text, text, text) to service_role;
comment on function public.create_session(text, text, bigint, text, text, text) is
  'Makes the session of a file, or finds the one with its hash. Where the table takes none, it says why: patient_unknown, path_held or schema_refuses. A patient that is not known yet is left empty where that is allowed, and filled later.';

-- Patients that appear later -----------------------------------------------------------------

create or replace function public.fill_patients(batch_size integer default 100)
returns bigint
language plpgsql
security invoker
set search_path = ''
as $$
declare
  known record;
  waiting record;
  filled bigint := 0;
  is_known boolean;
begin
  select c.confrelid::regclass as relation, a.attname as code into known
  from pg_catalog.pg_constraint as c
  join pg_catalog.pg_attribute as a on a.attrelid = c.confrelid and a.attnum = c.confkey[1]
  join pg_catalog.pg_attribute as p on p.attrelid = c.conrelid and p.attname = 'patient_id'
  where c.conrelid = 'public.therapy_sessions'::regclass
    and c.contype = 'f'
    and c.conkey = array[p.attnum];

  for waiting in execute format(
    'select s.id from public.therapy_sessions as s where s.patient_code is not null %s order by s.id limit $1 for update of s skip locked',
    case when known.relation is not null then format(
      'and exists (select from %s as p where p.%I::text = s.patient_code)', known.relation, known.code
    ) end
  ) using fill_patients.batch_size
  loop
    begin
      update public.therapy_sessions as s
      set patient_id = coalesce(s.patient_id, s.patient_code), patient_code = null
      where s.id = waiting.id;
      filled := filled + 1;
    exception when others then
      -- A rule of the table refuses this one: the others are filled, and it stays as it is.
      if public.is_trouble(sqlstate) then
        raise;
      end if;
    end;
  end loop;
  return filled;
end
$$;

revoke execute on function public.fill_patients(integer) from public, anon, authenticated;
grant execute on function public.fill_patients(integer) to service_role;
comment on function public.fill_patients(integer) is
  'Gives sessions the patients that were not known when they were made, and says how many.';
