-- Sessions get the patients that were not known when they were made.
--
-- Reason: a patient is often entered after the first recording was uploaded. Until then the session
-- has the patient's code alone, and the poll of a worker gives it the patient.

set local lock_timeout = '5s';

create or replace function public.fill_patients(batch_size integer default 100)
returns bigint
language plpgsql
security invoker
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  known record;
  waiting record;
  filled bigint := 0;
begin
  set constraints all immediate;  -- so that each refusal costs one session

  select c.confrelid::regclass as relation, r.relnamespace as namespace, a.attname as code into known
  from pg_catalog.pg_constraint as c
  join pg_catalog.pg_class as r on r.oid = c.confrelid
  join pg_catalog.pg_attribute as a on a.attrelid = c.confrelid and a.attnum = c.confkey[1]
  join pg_catalog.pg_attribute as p on p.attrelid = c.conrelid and p.attname = 'patient_id'
  where c.conrelid = 'public.therapy_sessions'::regclass
    and c.contype = 'f'
    and c.conkey = array[p.attnum];

  -- In no order, so that those which cannot be filled yet hold up no others. Who may not read the
  -- patients asks their foreign key.
  for waiting in execute format(
    'select s.id from public.therapy_sessions as s where s.patient_code is not null %s order by random() limit $1 for update of s skip locked',
    case
      when has_schema_privilege(known.namespace, 'usage')
        and has_column_privilege(known.relation::oid, known.code, 'select') then format(
        'and exists (select from %s as p where p.%I::text = s.patient_code)',
        known.relation, known.code
      )
    end
  ) using fill_patients.batch_size
  loop
    begin
      update public.therapy_sessions as s
      set patient_id = coalesce(s.patient_id, s.patient_code), patient_code = null
      where s.id = waiting.id;
      filled := filled + 1;
    exception when assert_failure or others then
      exit when sqlstate = '55P03';  -- somebody else has the patient locked: the next call
      if public.is_trouble(sqlstate) then
        raise;
      end if;
      -- A rule of the table refuses this one: it stays as it is, and the others are filled.
    end;
  end loop;
  return filled;
end
$$;

revoke execute on function public.fill_patients(integer) from public, anon, authenticated;
grant execute on function public.fill_patients(integer) to service_role;
comment on function public.fill_patients(integer) is
  'Gives sessions the patients that were not known when they were made, and says how many.';
