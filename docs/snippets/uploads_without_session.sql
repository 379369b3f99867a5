-- Uploads that have no session of their own, and why.
select
  o.name as upload,
  coalesce(i.outcome, 'not noted') as outcome,
  case
    when i.outcome = 'duplicate' then 'same content as ' || s.file_path
    when i.outcome is null and o.name not ilike '%.c3d' then 'its name does not end in .c3d'
    when i.outcome is null then 'a worker notes it when it next reads the bucket'
    when i.outcome = 'taking' then 'a worker is downloading it'
    else i.detail
  end as why
from storage.objects as o
left join storage_intake as i on i.object_id = o.id and i.version = coalesce(o.version, '')
left join therapy_sessions as s on s.id = i.session_id
where o.bucket_id = 'c3d-files'
  and o.name not like '%.emptyFolderPlaceholder'
  and coalesce(i.outcome, '') not in ('session', 'skipped')
order by o.name;
