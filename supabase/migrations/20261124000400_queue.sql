-- Makes therapy_sessions a queue: its columns. The five states follow in the next migration.
--
-- Reason: PostgreSQL is the queue and the coordinator, so a session and its place in the queue are
-- one row and cannot disagree. The functions of the next migrations are the only ways between the
-- states:
--
--   pending --claim--> processing --complete--> completed
--      ^                  |-- fail: pending again, due later; or failed
--      |                  |-- release: pending again, the attempt not counted
--      |                  `-- the lease runs out: claimable again, in the end failed
--      `-- requeue from failed or completed              skipped: there is no C3D to read
--
-- A worker can die, a reply can get lost, and two workers can want the same session. So a claim
-- comes with a lease that runs out, every function may be called again under the same claim, and a
-- caller whose session another claim has taken over changes nothing and is told so.
--
-- now() stands still within a transaction, and these functions may wait for a lock. So they measure
-- leases and due times by clock_timestamp(), read after the waiting is over.

set local lock_timeout = '5s';

-- Columns ------------------------------------------------------------------------------------
-- processing_due_at has no default at first: the sessions that are here have been due since they
-- came.

set local client_min_messages = warning;

alter table public.therapy_sessions
  add column if not exists processing_attempts integer not null default 0,
  add column if not exists processing_due_at timestamptz,
  add column if not exists processing_claim uuid,
  add column if not exists processing_error text,
  add column if not exists processing_abandoned boolean not null default false,
  add column if not exists processing_queued_at timestamptz,
  add column if not exists read_mode text,
  add column if not exists read_by_version text;

set local client_min_messages = notice;

create or replace function pg_temp.check_queue_columns()
returns void
language plpgsql
as $$
declare
  others text;
begin
  select string_agg(format('%s is %s and has to be %s', wanted.name, found.type, wanted.type), '; ')
  into others
  from (values
    ('processing_attempts', 'integer'),
    ('processing_due_at', 'timestamp with time zone'),
    ('processing_claim', 'uuid'),
    ('processing_error', 'text'),
    ('processing_abandoned', 'boolean'),
    ('processing_queued_at', 'timestamp with time zone'),
    ('read_mode', 'text'),
    ('read_by_version', 'text')
  ) as wanted (name, type)
  join (
    select attname, format_type(atttypid, atttypmod) as type
    from pg_attribute
    where attrelid = 'public.therapy_sessions'::regclass and not attisdropped
  ) as found on found.attname = wanted.name
  where found.type <> wanted.type;

  if others is not null then
    raise exception 'therapy_sessions has columns of the queue''s names and other types, so this migration changed nothing: %. Rename them, then push again.',
      others;
  end if;
end
$$;

select pg_temp.check_queue_columns();
drop function pg_temp.check_queue_columns();

alter table public.therapy_sessions
  alter column processing_attempts set default 0,
  alter column processing_due_at set default now(),
  alter column processing_queued_at set default now();

comment on column public.therapy_sessions.processing_attempts is
  'Number of attempts to read the file. A session released unprocessed does not count.';
comment on column public.therapy_sessions.processing_due_at is
  'While pending: the earliest time of the next attempt. While processing: the end of the lease. Empty when finished.';
comment on column public.therapy_sessions.processing_claim is
  'The id of the last claim. It stays after the end, so that a repeated call is recognised.';
comment on column public.therapy_sessions.processing_error is
  'Why it failed last, or what it waits for: a code, then a sentence with what helps.';
comment on column public.therapy_sessions.processing_abandoned is
  'Whether the worker before the last one stopped while it had the session: the file may be what stopped it.';
comment on column public.therapy_sessions.processing_queued_at is
  'Since when a worker could have read it: since it was created, or requeued. Empty for sessions from before the queue.';
comment on column public.therapy_sessions.read_mode is
  'header: only the first part of the file was read, so its content was not compared with file_hash, and there are no statistics. Empty: the whole file was read, or none of it yet.';
comment on column public.therapy_sessions.read_by_version is
  'The version of the worker that wrote the technical row. Empty: none has yet, or one that did not say it.';

-- States -------------------------------------------------------------------------------------
-- The check of the old states goes, because it may not allow those that the next migration sets.

do $$
declare
  rule record;
begin
  for rule in
    select conname, pg_get_constraintdef(oid) as definition
    from pg_constraint
    where conrelid = 'public.therapy_sessions'::regclass
      and contype = 'c'
      and conname <> 'processing_status_is_known'
      and conkey = array[(
        select attnum from pg_attribute where attrelid = conrelid and attname = 'processing_status'
      )]
  loop
    execute format('alter table public.therapy_sessions drop constraint %I', rule.conname);
    raise notice 'Replaced % on therapy_sessions: %', rule.conname, rule.definition;
  end loop;
end
$$;
