-- Moves the technical columns of an old therapy_sessions into c3d_technical_data, then drops them.
--
-- Reason: as columns of the session they were NOT NULL, and a session whose file had not been read
-- was filled with 0, '', '[]' or 'unknown'. Those are not values and become NULL, as do NaN
-- and infinity; every other value moves. A list of channels is a value if it names one channel;
-- then all its names keep their places, the empty ones too.
--
-- This migration drops nothing before it has counted and compared the moved rows, and never drops
-- with CASCADE: a view on such a column stops it by its name. A session that has its row in
-- c3d_technical_data already keeps what that row says; the old values fill its gaps.
--
-- Rates and durations land in `real`, which keeps 7 significant digits of a double precision.
-- That is by design. A number that does not fit stops the migration.
--
-- A moved row has no extracted_at: this project did not extract it.
--
-- With a million sessions this takes a while. Nobody may write to them meanwhile, but everybody may
-- read: only the drop, which comes last and takes a moment, keeps readers out.

set local lock_timeout = '5s';
set local statement_timeout = '1h';  -- the platform's two minutes are for requests

do $$
begin
  lock table public.therapy_sessions in share row exclusive mode;  -- the CLI allows this only in here
end
$$;

-- How each old column is read: `value` is NULL where it was invented, and `unfit` is true where
-- the value cannot be moved without changing it.
create temporary table old_columns on commit drop as
with technical (name, type) as (
  values
    ('original_sampling_rate', 'real'),
    ('original_duration_seconds', 'real'),
    ('original_sample_count', 'integer'),
    ('channel_count', 'integer'),
    ('channel_names', 'text[]'),
    ('sampling_rate', 'real'),
    ('duration_seconds', 'real'),
    ('frame_count', 'integer')
),
present as (
  select
    technical.name,
    technical.type,
    format_type(pg_attribute.atttypid, null) as old_type,
    format('s.%I', technical.name) as old
  from technical
  join pg_attribute on pg_attribute.attname = technical.name
  where pg_attribute.attrelid = 'public.therapy_sessions'::regclass
    and not pg_attribute.attisdropped
),
kinds as (
  select
    present.*,
    case
      when type = 'text[]' and old_type in ('json', 'jsonb') then 'json names'
      when type = 'text[]' and old_type in ('text[]', 'character varying[]') then 'names'
      when type = 'text[]' then 'unreadable'
      when old_type in ('smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision')
        then 'number'
      else 'unreadable'
    end as kind
  from present
),
readings as (
  select
    kinds.*,
    format(
      case kind
        when 'number' then
          'case when %1$s <> 0 and %1$s::text not in (''NaN'', ''Infinity'', ''-Infinity'') then %1$s end'
        when 'names' then
          'case when array_length(%1$s, 1) > 0 then (
             select array_agg(coalesce(label.name, '''') order by label.position)
             from unnest(%1$s) with ordinality as label (name, position)
             having bool_or(lower(btrim(coalesce(label.name, ''''))) not in ('''', ''unknown''))
           ) end'
        when 'json names' then
          'case when jsonb_typeof(%1$s::jsonb) = ''array'' then (
             select array_agg(coalesce(label.name, '''') order by label.position)
             from jsonb_array_elements_text(%1$s::jsonb) with ordinality as label (name, position)
             having bool_or(lower(btrim(coalesce(label.name, ''''))) not in ('''', ''unknown''))
           ) end'
        else 'null'
      end,
      old
    ) as value
  from kinds
)
select
  name,
  type,
  old_type,
  value,
  format(
    case
      when kind = 'number' and type = 'integer' then
        '%2$s not between -2147483648 and 2147483647 or %2$s::numeric <> trunc(%2$s::numeric)'
      when kind = 'number' and old_type <> 'real' then
        'abs(%2$s) not between 1.2e-38 and 3.4028234e38'
      when kind = 'json names' then
        'case jsonb_typeof(%1$s::jsonb)
           when ''array'' then jsonb_path_exists(
             %1$s::jsonb, ''strict $[*] ? (@.type() == "object" || @.type() == "array")''
           )
           when ''null'' then false
           when ''string'' then
             lower(btrim(%1$s::jsonb #>> ''{}'')) not in ('''', ''unknown'', ''[]'', ''{}'')
           else %1$s::jsonb <> ''{}''
         end'
      when kind = 'unreadable' then
        'lower(btrim(%1$s::text)) not in ('''', ''unknown'', ''0'', ''0.0'', ''[]'', ''{}'')'
      else 'false'
    end,
    old,
    '(' || value || ')'
  ) as unfit
from readings;

-- Can all of it be moved? --------------------------------------------------------------------

create or replace function pg_temp.check_old_values()
returns void
language plpgsql
as $$
declare
  old_column record;
  affected bigint;
  example text;
  problems text[] := '{}';
begin
  for old_column in select * from old_columns loop
    execute format(
      'select count(*), min(s.%I::text) from public.therapy_sessions as s where %s',
      old_column.name, old_column.unfit
    ) into affected, example;
    if affected > 0 then
      problems := problems || format(
        '%1$s: %2$s values of type %3$s cannot become %4$s unchanged, for example %5$s.',
        old_column.name, affected, old_column.old_type, old_column.type, left(example, 80)
      );
    end if;
  end loop;

  if problems <> '{}' then
    raise exception E'The technical columns of therapy_sessions cannot be moved yet, and this migration changed nothing. Correct these values, or clear those that mean nothing, then push again:\n- %',
      array_to_string(problems, E'\n- ');
  end if;
end
$$;

select pg_temp.check_old_values();
drop function pg_temp.check_old_values();

-- Move, and verify every value as the table gives it back ------------------------------------

create or replace function pg_temp.move_old_values()
returns void
language plpgsql
as $$
declare
  names text;
  readings text;
  already_there bigint;
  moved bigint;
  unchanged bigint;
begin
  select string_agg(quote_ident(name), ', '), string_agg(format('(%s)::%s as %I', value, type, name), ', ')
  into names, readings
  from old_columns;
  if names is null then
    return;
  end if;

  execute format(
    'create temporary table values_found on commit drop as
     select * from (select s.id as session_id, %s from public.therapy_sessions as s) as all_sessions
     where num_nonnulls(%s) > 0',
    readings, names
  );

  execute format(
    'update public.c3d_technical_data as present set %s
     from values_found where present.session_id = values_found.session_id',
    (
      select string_agg(format('%1$I = coalesce(present.%1$I, values_found.%1$I)', name), ', ')
      from old_columns
    )
  );

  delete from values_found
  using public.c3d_technical_data as present
  where present.session_id = values_found.session_id;
  get diagnostics already_there = row_count;

  execute format(
    'insert into public.c3d_technical_data (session_id, extracted_at, %1$s)
     select session_id, null, %1$s from values_found',
    names
  );

  execute format(
    'select count(*), count(*) filter (where (%s) is not distinct from (%s))
     from values_found left join public.c3d_technical_data as written using (session_id)',
    (select string_agg(format('values_found.%I', name), ', ') from old_columns) || ', values_found.session_id',
    (select string_agg(format('written.%I', name), ', ') from old_columns) || ', written.session_id'
  ) into moved, unchanged;
  if moved <> unchanged then
    raise exception 'Of % sessions with technical values only % read back unchanged from c3d_technical_data, so this migration changed nothing. Look for a trigger or rule on that table, disable it, then push again.',
      moved, unchanged;
  end if;

  raise notice 'Technical values moved: % sessions; % more had a row already, whose gaps they filled.',
    moved, already_there;
end
$$;

select pg_temp.move_old_values();
drop function pg_temp.move_old_values();

-- Drop, never CASCADE ------------------------------------------------------------------------

create or replace function pg_temp.drop_old_columns()
returns void
language plpgsql
as $$
declare
  drops text;
  dependents text;
begin
  select string_agg(format('drop column %I', name), ', ') into drops from old_columns;
  if drops is not null then
    execute 'alter table public.therapy_sessions ' || drops;
  end if;
exception when dependent_objects_still_exist then
  get stacked diagnostics dependents = pg_exception_detail;
  raise exception E'Something still reads the technical columns of therapy_sessions, so this migration changed nothing. Drop each of these, or let it join c3d_technical_data on session_id = id, then push again:\n- %',
    replace(dependents, E'\n', E'\n- ');
end
$$;

select pg_temp.drop_old_columns();
drop function pg_temp.drop_old_columns();
drop table old_columns;
