-- Channels that recorded nothing (flat) or ran into the limits of the amplifier (clipped).
select
  s.patient_id as patient,
  s.original_filename as file,
  channel ->> 'name' as channel,
  case when (channel ->> 'flat')::boolean then 'flat' else 'clipped' end as looks,
  channel ->> 'min' as lowest,
  channel ->> 'max' as highest,
  round(100 * (channel ->> 'at_rails')::numeric, 1) as percent_at_limits
from therapy_sessions as s
cross join lateral jsonb_path_query(
  s.analytics_cache,
  '$.channel_statistics.channels[*] ? (@.flat == true || @.clipped == true)'
) as channel
order by s.patient_id, s.original_filename, channel ->> 'name';
