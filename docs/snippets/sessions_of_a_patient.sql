-- Every session of one patient, the oldest first.
select uploaded_at::date as uploaded, file, state, duration, rate_hz, channels
from session_overview
where patient = 'P005'
order by uploaded_at, file;
