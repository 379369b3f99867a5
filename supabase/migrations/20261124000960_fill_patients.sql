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
  lookup record;
  found text := 'codes.code';
  waiting record;
  filled bigint := 0;
begin
  set constraints all immediate;  -- so that each refusal costs one session

  select * into lookup from public.patient_lookup();
  if lookup.readable then  -- a code of two patients is nobody's
    found := format(
      '(select min(p.%I::text) from %s as p where p.%I::text = codes.code having count(*) = 1)',
      lookup.key_column, lookup.relation, lookup.code_column
    );
  elsif public.patient_type() = 'uuid' then
    return 0;  -- only a lookup can tell whose it is
  end if;

  -- From code to code by their index: thousands of sessions may wait for one patient. In no order, so
  -- that those which cannot be filled yet hold up no others. Who may not read the patients asks their
  -- foreign key.
  for waiting in execute format(
    'with recursive codes (code) as (
       select min(s.patient_code) from public.therapy_sessions as s
       union all
       select (
         select min(s.patient_code)
         from public.therapy_sessions as s
         where s.patient_code > codes.code
       )
       from codes
       where codes.code is not null
     ),
     known as materialized (
       select codes.code, %s as patient from codes where codes.code is not null
     )
     select s.id, known.patient
     from known
     join public.therapy_sessions as s on s.patient_code = known.code
     where known.patient is not null
     order by random()
     limit $1
     for update of s skip locked',
    found
  ) using fill_patients.batch_size
  loop
    begin
      execute format(
        'update public.therapy_sessions as s
         set patient_id = coalesce(s.patient_id, $2::%s), patient_code = null
         where s.id = $1',
        public.patient_type()
      ) using waiting.id, waiting.patient;
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
