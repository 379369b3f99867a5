-- Which patient a code in a path means.
--
-- Reason: patient_id may be the code itself, or refer to a table of patients by another key. Only
-- the database knows that table, and its rules; so a worker says the code and no more.

set local lock_timeout = '5s';
set local client_min_messages = warning;

alter table public.therapy_sessions add column if not exists patient_code text;

set local client_min_messages = notice;

comment on column public.therapy_sessions.patient_code is
  'The patient''s code, as the path says it, while no such patient is known: patient_id is filled as soon as there is one. Empty otherwise.';

create index if not exists therapy_sessions_patient_code
  on public.therapy_sessions (patient_code) where patient_code is not null;

create or replace function public.patient_lookup()
returns table (relation regclass, code_column text, key_column text, readable boolean)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  select to_regclass(s.patients), s.patient_code_column, s.patient_key_column
  into relation, code_column, key_column
  from public.worker_settings as s
  where s.patients is not null;

  if relation is null then  -- the table that patient_id refers to
    select c.confrelid::regclass, k.attname
    into relation, key_column
    from pg_catalog.pg_constraint as c
    join pg_catalog.pg_attribute as p on p.attrelid = c.conrelid and p.attname = 'patient_id'
    join pg_catalog.pg_attribute as k on k.attrelid = c.confrelid and k.attnum = c.confkey[1]
    where c.conrelid = 'public.therapy_sessions'::regclass
      and c.contype = 'f'
      and c.conkey = array[p.attnum];
    -- Its key is the code, or its only unique text is.
    select min(a.attname) into code_column
    from pg_catalog.pg_attribute as a
    where a.attrelid = relation
      and a.atttypid in ('text'::regtype, 'character varying'::regtype)
      and case
        when exists (
          select
          from pg_catalog.pg_attribute as k
          where k.attrelid = relation and k.attname = key_column
            and k.atttypid in ('text'::regtype, 'character varying'::regtype)
        ) then a.attname = key_column
        else exists (
          select
          from pg_catalog.pg_index as x
          where x.indrelid = relation and x.indisunique and x.indpred is null
            and x.indnkeyatts = 1 and x.indkey[0] = a.attnum
        )
      end
    having count(*) = 1;
  end if;

  if relation is not null and code_column is not null then
    readable := has_schema_privilege(
        (select c.relnamespace from pg_catalog.pg_class as c where c.oid = relation), 'usage'
      )
      and has_column_privilege(relation::oid, code_column, 'select')
      and has_column_privilege(relation::oid, key_column, 'select');
    return next;
  end if;
end
$$;

revoke execute on function public.patient_lookup() from public, anon, authenticated;
grant execute on function public.patient_lookup() to service_role;
comment on function public.patient_lookup() is
  'The table of patients, the column of the code that paths name, and the column that therapy_sessions.patient_id holds: as worker_settings says, else as the foreign key does. No row: patient_id is the code itself.';

create or replace function public.patient_type()
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select format_type(a.atttypid, a.atttypmod)
  from pg_catalog.pg_attribute as a
  where a.attrelid = 'public.therapy_sessions'::regclass and a.attname = 'patient_id'
$$;

revoke execute on function public.patient_type() from public, anon, authenticated;
grant execute on function public.patient_type() to service_role;
comment on function public.patient_type() is 'The type of therapy_sessions.patient_id.';

create or replace function public.find_patient(code text)
returns table (is_known boolean, patient text)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  lookup record;
  matches bigint;
begin
  is_known := true;
  select * into lookup from public.patient_lookup();
  if find_patient.code is null then
    return next;
  elsif lookup.relation is null or not lookup.readable then
    is_known := lookup.relation is null;  -- else the foreign key has to say
    patient := case when public.patient_type() <> 'uuid' then find_patient.code end;
    return next;
  else
    execute format(
      'select count(*), min(p.%I::text) from %s as p where p.%I::text = $1',
      lookup.key_column, lookup.relation, lookup.code_column
    ) into matches, patient using find_patient.code;
    if matches <> 1 then  -- of two, either may be the wrong one
      patient := null;
    end if;
    return next;
  end if;
end
$$;

revoke execute on function public.find_patient(text) from public, anon, authenticated;
grant execute on function public.find_patient(text) to service_role;
comment on function public.find_patient(text) is
  'What patient_id is for a code that a path names; empty: no such patient, yet. is_known is false where only the foreign key can tell.';
