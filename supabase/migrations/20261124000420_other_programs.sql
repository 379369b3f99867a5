-- What other programs write into therapy_sessions, and how it is understood.
--
-- Reason: the application that uploads goes on using the table as it did before. It leaves out what
-- it does not know, it has words of its own for the status, a session that it sets to processing is
-- its own for a while, and when it has finished with one, no worker has read it yet. None of that may
-- fail, and none may be taken for a worker's.

set local lock_timeout = '5s';

create or replace function public.accept_foreign_session()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
declare
  status_before text := new.processing_status;
  same_claim boolean := new.processing_claim is null;
begin
  new.original_filename := coalesce(new.original_filename, regexp_replace(new.file_path, '^.*/', ''));
  if tg_op = 'UPDATE' then
    status_before := old.processing_status;
    same_claim := new.processing_claim is not distinct from old.processing_claim;
  end if;

  if new.processing_status not in ('pending', 'processing', 'completed', 'failed', 'skipped')
    or (
      new.processing_status = 'completed' and status_before <> 'completed'
      and new.hash_measured_at is null
    )
  then
    new.processing_error := format(
      'other_status: Another program set the status %L. A worker reads the session.',
      new.processing_status
    );
    new.processing_status := 'pending';
    new.processing_attempts := 0;
    new.processing_claim := null;
    new.processing_due_at := clock_timestamp();
    new.processing_queued_at := clock_timestamp();
  elsif new.processing_status = 'processing' and same_claim
    and (tg_op = 'INSERT' or status_before <> 'processing')
  then
    -- A claim of a worker comes with an id of its own.
    new.processing_claim := null;
    new.processing_due_at := clock_timestamp() + interval '1 day';
  end if;
  return new;
end
$$;

revoke execute on function public.accept_foreign_session() from public, anon, authenticated;
comment on function public.accept_foreign_session() is
  'Fills original_filename from the path; makes a session pending where the status is one that this project does not know, or completed before a worker has read it, with its word in processing_error; and leaves a session that another program sets to processing to it for a day. Called by the trigger of the same name.';

create or replace trigger accept_foreign_session
before insert or update of processing_status on public.therapy_sessions
for each row execute function public.accept_foreign_session();
