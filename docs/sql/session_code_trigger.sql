create or replace function public.fill_session_code()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  patient text := (select p.patient_code from public.patients as p where p.id = new.patient_id);
  last_number integer;
begin
  -- One at a time for each patient: two sessions at once would get the same number.
  perform pg_advisory_xact_lock(hashtextextended('session_code ' || patient, 0));
  select coalesce(max(right(s.session_code, 3)::integer), 0) into last_number
  from public.therapy_sessions as s
  where s.session_code ~ ('^' || patient || 'S[0-9]{3}$');

  new.session_code := case
    when patient ~ '^P[0-9]{3}$' and last_number < 999
      then format('%sS%s', patient, lpad((last_number + 1)::text, 3, '0'))
    else gen_random_uuid()::text
  end;
  return new;
end
$$;

create or replace trigger fill_session_code
before insert on public.therapy_sessions
for each row when (new.session_code is null)
execute function public.fill_session_code();
