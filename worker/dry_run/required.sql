-- Columns that refuse a row of this project's: NOT NULL, without a default, and nothing fills them.

with filled (relation, name) as (
  select relation, unnest(names)
  from (values
    ('therapy_sessions', array[
      'id', 'file_path', 'file_hash', 'file_size_bytes', 'processing_status', 'original_filename',
      'patient_id'
    ]),
    -- The technical columns of an old therapy_sessions move away.
    ('therapy_sessions', array[
      'original_sampling_rate', 'original_duration_seconds', 'original_sample_count',
      'channel_count', 'channel_names', 'sampling_rate', 'duration_seconds', 'frame_count'
    ]),
    ('c3d_technical_data', array[
      'session_id', 'original_sampling_rate', 'original_duration_seconds',
      'original_sample_count', 'channel_count', 'channel_names', 'sampling_rate',
      'duration_seconds', 'frame_count', 'extracted_at'
    ])
  ) as known (relation, names)
)
select
  c.relname as relation,
  quote_ident(a.attname) as column,
  format_type(a.atttypid, a.atttypmod) as type,
  t.typcategory::text as category,
  case when a.atttypmod > 4 and t.typcategory = 'S' then a.atttypmod - 4 end as length,
  (
    select e.enumlabel from pg_enum as e where e.enumtypid = t.oid order by e.enumsortorder limit 1
  ) as first_label,
  exists (
    select from pg_index as i
    where i.indrelid = c.oid and i.indisunique and i.indkey[0] = a.attnum and i.indnkeyatts = 1
  ) as is_unique,
  (
    select k.confrelid::regclass::text
    from pg_constraint as k
    where k.conrelid = c.oid and k.contype = 'f' and a.attnum = any (k.conkey)
    limit 1
  ) as refers_to
from pg_class as c
join pg_attribute as a on a.attrelid = c.oid
join pg_type as t on t.oid = a.atttypid
where c.oid in (to_regclass('public.therapy_sessions'), to_regclass('public.c3d_technical_data'))
  and a.attnum > 0 and not a.attisdropped
  and a.attnotnull and not a.atthasdef and a.attidentity = ''
  and not exists (select from filled where relation = c.relname and filled.name = a.attname)
  and not exists (  -- a trigger that fills it already
    select from pg_trigger as g
    join pg_proc as p on p.oid = g.tgfoid
    where g.tgrelid = c.oid and not g.tgisinternal
      and g.tgtype & 7 = 7  -- before each inserted row
      and p.prosrc ~* ('\mnew\."?' || a.attname || '"?\s*:?=')
  )
order by c.relname desc, a.attnum
