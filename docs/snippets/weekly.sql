-- Recordings and hours recorded, by the week of their upload.
select
  to_char(s.created_at, 'IYYY-"W"IW') as week,
  count(*) as recordings,
  count(distinct s.patient_id) as patients,
  round(sum(coalesce(t.original_duration_seconds, t.duration_seconds))::numeric / 3600, 2) as hours
from therapy_sessions as s
join c3d_technical_data as t on t.session_id = s.id
group by 1
order by 1 desc;
