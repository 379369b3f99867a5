-- What a dry run compares before and after the migrations. Made in the transaction that is taken
-- back, so it disappears with it.

create function pg_temp.dry_run_count(relation text)
returns bigint
language plpgsql
as $$
declare
  found bigint;
begin
  if to_regclass(relation) is not null then
    execute format('select count(*) from %s', relation) into found;
  end if;
  return found;
end
$$;

-- Keeps each session's status, to see which become another.
create function pg_temp.dry_run_keep_statuses()
returns void
language plpgsql
as $$
begin
  create temporary table dry_run_statuses (id text, status text) on commit drop;
  if 2 = (
    select count(*) from pg_attribute
    where attrelid = to_regclass('public.therapy_sessions')
      and attname in ('id', 'processing_status') and not attisdropped
  ) then
    insert into dry_run_statuses
    select to_jsonb(s.id) #>> '{}', s.processing_status::text from public.therapy_sessions as s;
  end if;
end
$$;

create function pg_temp.dry_run_changed_statuses()
returns jsonb
language plpgsql
as $$
declare
  changed jsonb := '[]';
begin
  if exists (select from pg_temp.dry_run_statuses) then
    select coalesce(
      jsonb_agg(jsonb_build_array(was, becomes, sessions) order by sessions desc, was), '[]'
    ) into changed
    from (
      select before.status as was, after.processing_status::text as becomes, count(*) as sessions
      from pg_temp.dry_run_statuses as before
      join public.therapy_sessions as after on (to_jsonb(after.id) #>> '{}') = before.id
      where before.status is distinct from after.processing_status::text
      group by 1, 2
    ) as transitions;
  end if;
  return changed;
end
$$;

-- How many sessions have values that the worker has not read, as `requeue --migrated` finds them.
create function pg_temp.dry_run_taken_over()
returns bigint
language plpgsql
as $$
declare
  found bigint;
begin
  if to_regprocedure('public.requeue_session(uuid, text, boolean)') is not null then
    select count(*) into found
    from public.therapy_sessions as s
    join public.c3d_technical_data as t on t.session_id = s.id
    where s.processing_status = 'completed'
      and s.hash_measured_at is null
      and (s.file_path ilike '%.c3d' or s.original_filename ilike '%.c3d');
  end if;
  return found;
end
$$;

create function pg_temp.dry_run_snapshot()
returns jsonb
language sql
as $$
  select jsonb_build_object(
    'sessions', pg_temp.dry_run_count('public.therapy_sessions'),
    'technical_rows', pg_temp.dry_run_count('public.c3d_technical_data'),
    'columns', (
      select coalesce(jsonb_object_agg(
        (select relname from pg_class where oid = attrelid) || '.' || attname,
        format_type(atttypid, atttypmod) || case when attnotnull then ' not null' else '' end
      ), '{}')
      from pg_attribute
      where attrelid in (
        to_regclass('public.therapy_sessions'), to_regclass('public.c3d_technical_data')
      )
        and attnum > 0 and not attisdropped
    ),
    'constraints', (
      select coalesce(jsonb_object_agg(
        (select relname from pg_class where pg_class.oid = conrelid) || '.' || conname,
        pg_get_constraintdef(oid)
      ), '{}')
      from pg_constraint
      where conrelid in (
        to_regclass('public.therapy_sessions'), to_regclass('public.c3d_technical_data')
      )
        and contype <> 'n'  -- NOT NULL, which is told with its column
    ),
    'indexes', (
      select coalesce(
        jsonb_object_agg(indexrelid::regclass::text, pg_get_indexdef(indexrelid)), '{}'
      )
      from pg_index
      where indrelid in (
        to_regclass('public.therapy_sessions'), to_regclass('public.c3d_technical_data')
      )
        and not exists (select from pg_constraint where conindid = indexrelid)
    ),
    'relations', (
      select coalesce(jsonb_object_agg(relname, relkind), '{}')
      from pg_class
      where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm')
    ),
    'functions', (
      select coalesce(jsonb_object_agg(
        oid::regprocedure::text, md5(coalesce(pg_get_function_sqlbody(oid), prosrc))
      ), '{}')
      from pg_proc
      where pronamespace = 'public'::regnamespace
    ),
    'triggers', (
      select coalesce(jsonb_object_agg(
        tgname || ' on ' || tgrelid::regclass::text, pg_get_triggerdef(oid)
      ), '{}')
      from pg_trigger
      where not tgisinternal and tgrelid in (
        to_regclass('public.therapy_sessions'),
        to_regclass('public.c3d_technical_data'),
        to_regclass('storage.objects')
      )
    ),
    'published', (
      select coalesce(jsonb_object_agg(tablename || ' in ' || pubname, true), '{}')
      from pg_publication_tables
      where schemaname = 'public'
    )
  )
$$;
