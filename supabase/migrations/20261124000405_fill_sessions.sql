-- Fills in what sessions of the old system lack, gives each one of the five states, and makes the index
-- of the claim.
--
-- Reason: with a million sessions the whole table is written anew, so it is done once, by one UPDATE,
-- and in a migration of its own: only the last statements, which take a moment, keep readers out.
-- Whoever writes has to wait for all of it.

set local lock_timeout = '5s';
set local statement_timeout = '1h';  -- the platform's two minutes are for requests
set local work_mem = '64MB';

do $$
begin
  lock table public.therapy_sessions in share row exclusive mode;  -- the CLI allows this only in here
end
$$;

-- This is not to change a session, so no trigger of the table sees it: updated_at stays.
do $$
declare
  enabled name[] := array(
    select tgname from pg_trigger
    where tgrelid = 'public.therapy_sessions'::regclass and not tgisinternal and tgenabled = 'O'
  );
  trigger_name name;
  put_back bigint;
begin
  foreach trigger_name in array enabled loop
    execute format('alter table public.therapy_sessions disable trigger %I', trigger_name);
  end loop;

  with written as (
    update public.therapy_sessions as s
    set
      original_filename = filled.original_filename,
      file_hash = filled.file_hash,
      processing_attempts = filled.processing_attempts,
      processing_due_at = filled.processing_due_at,
      processing_status = case when filled.is_put_back then 'pending' else filled.status end,
      processing_error = case
        when filled.is_put_back then format('legacy_status: The session said %s before the queue was installed. A worker reads it again.', quote_literal(filled.status))
        else s.processing_error
      end
    from (
      select
        old.id,
        coalesce(old.original_filename, regexp_replace(old.file_path, '^.*/', '')) as original_filename,
        case
          when old.file_hash = lower(old.file_hash) then old.file_hash  -- as most are
          when old.file_hash ~* '^[0-9a-f]{64}$' then lower(old.file_hash)
          else old.file_hash
        end as file_hash,
        coalesce(old.processing_attempts, 0) as processing_attempts,
        known.*,
        known.status not in ('pending', 'processing', 'completed', 'failed', 'skipped')
          or (known.is_foreign and known.processing_due_at < now()) as is_put_back
      from public.therapy_sessions as old
      left join public.c3d_technical_data as t on t.session_id = old.id
      cross join lateral (
        select old.processing_status = 'processing' and old.processing_claim is null as is_foreign
      ) as claimed
      cross join lateral (
        select
          claimed.is_foreign,
          case
            when old.processing_status is null then 'pending'
            -- Completed means that the technical row exists.
            when old.processing_status = 'completed' and t.session_id is null then 'pending'
            else old.processing_status
          end as status,
          case  -- whoever sets a session to processing without a claim has it for a day
            when claimed.is_foreign then coalesce(
              old.processing_due_at,
              coalesce(old.updated_at, old.created_at, now()) + interval '1 day'
            )
            else old.processing_due_at
          end as processing_due_at
      ) as known
    ) as filled
    where filled.id = s.id
      and (
        s.original_filename, s.file_hash, s.processing_attempts, s.processing_due_at,
        s.processing_status
      ) is distinct from (
        filled.original_filename, filled.file_hash, filled.processing_attempts,
        filled.processing_due_at, case when filled.is_put_back then 'pending' else filled.status end
      )
    returning filled.is_put_back
  )
  select count(*) filter (where written.is_put_back) into put_back from written;
  if put_back > 0 then
    raise notice '% sessions of an old or unknown state are pending; processing_error keeps what they said.', put_back;
  end if;

  foreach trigger_name in array enabled loop
    execute format('alter table public.therapy_sessions enable trigger %I', trigger_name);
  end loop;
end
$$;

-- Indexes, which are built while others read -------------------------------------------------
-- The first serves the claim: what is pending or processing, the longest due first. Finished sessions
-- are not in it.

create index if not exists therapy_sessions_unfinished on public.therapy_sessions (
  processing_status,
  (coalesce(processing_due_at, '-infinity'::timestamptz)),
  created_at
) where processing_status in ('pending', 'processing');

do $$
begin
  if not exists (
    select from pg_index
    where indrelid = 'public.therapy_sessions'::regclass
      and indisunique and indimmediate and indisvalid and indpred is null and indexprs is null
      and indnkeyatts = 1
      and indkey[0] = (
        select attnum from pg_attribute where attrelid = indrelid and attname = 'file_hash'
      )
  ) then
    create unique index therapy_sessions_file_hash_key on public.therapy_sessions (file_hash);
    alter table public.therapy_sessions
      add constraint therapy_sessions_file_hash_key unique using index therapy_sessions_file_hash_key;
  end if;
end
$$;

-- Constraints, from whose first on nobody can read -------------------------------------------

alter table public.therapy_sessions
  alter processing_status set not null,
  alter original_filename set not null,
  alter processing_attempts set not null;

do $$
begin
  if not exists (
    select from pg_constraint
    where conrelid = 'public.therapy_sessions'::regclass and conname = 'processing_status_is_known'
  ) then
    alter table public.therapy_sessions add constraint processing_status_is_known
      check (processing_status in ('pending', 'processing', 'completed', 'failed', 'skipped'));
  end if;
end
$$;
