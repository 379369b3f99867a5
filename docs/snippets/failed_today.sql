-- What failed today, and why. "Today" begins at midnight of the time zone named here.
select
  to_char(updated_at at time zone 'Europe/Brussels', 'HH24:MI') as at,
  patient_id as patient,
  original_filename as file,
  processing_error as reason
from therapy_sessions
where processing_status = 'failed'
  and updated_at >= date_trunc('day', now(), 'Europe/Brussels')
order by updated_at desc;
