-- Whose the recording is that a content belongs to.
--
-- Reason: the same bytes are one session, so a second upload of them makes none. Where it lies in the
-- folder of another patient, one of the two is filed under the wrong one, and only a person can tell
-- which.

set local lock_timeout = '5s';

create or replace function public.whose_session(session uuid, code text)
returns table (patient text, is_another boolean)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    coalesce(s.patient_code, s.patient_id::text),
    whose_session.code is not null
      and s.patient_code is distinct from whose_session.code
      and (
        s.patient_id is null
        or ((named.is_known or named.patient is not null) and s.patient_id::text is distinct from named.patient)
      )
  from public.therapy_sessions as s
  cross join lateral public.find_patient(whose_session.code) as named
  where s.id = whose_session.session
$$;

revoke execute on function public.whose_session(uuid, text) from public, anon, authenticated;
grant execute on function public.whose_session(uuid, text) to service_role;
comment on function public.whose_session(uuid, text) is
  'The patient of a session, and whether that is another than the one of this code, or none. Where only a foreign key could tell, it is not.';
