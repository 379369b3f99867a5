-- What depends on therapy_sessions and c3d_technical_data, without this project's own ($1: names).

with tables as (
  select c.oid, c.relname
  from pg_class as c
  where c.oid in (
    to_regclass('public.therapy_sessions'), to_regclass('public.c3d_technical_data')
  )
),
policies as (
  select
    'policy' as kind,
    format('%s on %s.%s', policyname, schemaname, tablename) as name,
    concat(
      lower(cmd), ' to ', array_to_string(roles, ', '), ' using ' || qual, ' check ' || with_check
    ) as said
  from pg_policies
  where policyname <> all ($1::text[])
    and (
      format('%I.%I', schemaname, tablename)::regclass in (select oid from tables)
      or concat(qual, with_check) ~ '\m(therapy_sessions|c3d_technical_data)\M'
    )
),
foreign_keys as (
  select
    'foreign key' as kind,
    format('%s of %s', conname, conrelid::regclass) as name,
    pg_get_constraintdef(oid) as said
  from pg_constraint
  where contype = 'f'
    and ((conrelid in (select oid from tables)) <> (confrelid in (select oid from tables)))
    and conrelid not in (select c.oid from pg_class as c where c.relname = any ($1::text[])
      and c.relname not in (select relname from tables))
),
views as (
  select distinct
    case c.relkind when 'm' then 'materialized view' else 'view' end as kind,
    c.oid::regclass::text as name,
    'reads ' || string_agg(distinct tables.relname, ', ') as said
  from pg_depend as d
  join tables on tables.oid = d.refobjid
  join pg_rewrite as r on r.oid = d.objid
  join pg_class as c on c.oid = r.ev_class
  where d.classid = 'pg_rewrite'::regclass
    and d.refclassid = 'pg_class'::regclass
    and c.oid not in (select oid from tables)
    and c.relname <> all ($1::text[])
  group by c.relkind, c.oid
),
triggers as (
  select
    'trigger' as kind,
    format('%s on %s', t.tgname, tables.relname) as name,
    regexp_replace(pg_get_triggerdef(t.oid), '^CREATE \S*\s*TRIGGER \S+ ', '') as said
  from pg_trigger as t
  join tables on tables.oid = t.tgrelid
  where not t.tgisinternal and t.tgname <> all ($1::text[])
),
functions as (
  select
    'function' as kind,
    p.oid::regprocedure::text as name,
    'its text names ' || concat_ws(
      ' and ',
      case when body ~ '\mtherapy_sessions\M' then 'therapy_sessions' end,
      case when body ~ '\mc3d_technical_data\M' then 'c3d_technical_data' end
    ) as said
  from pg_proc as p
  cross join lateral (select coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as body) as text
  join pg_namespace as n on n.oid = p.pronamespace
  where body ~ '\m(therapy_sessions|c3d_technical_data)\M'
    and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and p.proname <> all ($1::text[])
),
publications as (
  select
    'publication' as kind,
    pubname::text as name,
    'publishes ' || string_agg(tablename, ', ' order by tablename) as said
  from pg_publication_tables
  where schemaname = 'public' and tablename in (select relname from tables)
  group by pubname
),
dependents as (
  select 1 as place, * from policies
  union all select 2, * from foreign_keys
  union all select 3, * from views
  union all select 4, * from triggers
  union all select 5, * from functions
  union all select 6, * from publications
)
select kind, name, said
from dependents
order by place, name
