-- Where a session's recording lies in the bucket.
--
-- Reason: some programs write the bucket's name before the path, and read their own spelling back.
-- So file_path stays as it was written, and whoever needs the object asks here.

set local lock_timeout = '5s';

create or replace function public.has_object(bucket text, object_path text)
returns boolean
language plpgsql  -- which, unlike sql, is created where there is no Storage
stable
security invoker
set search_path = ''
as $$
begin
  return exists (
    select
    from storage.objects as o
    where o.bucket_id = has_object.bucket
      and o.name = has_object.object_path
      and public.is_live(to_jsonb(o))
  );
end
$$;

revoke execute on function public.has_object(text, text) from public, anon, authenticated;
grant execute on function public.has_object(text, text) to service_role;
comment on function public.has_object(text, text) is
  'Whether the bucket has an object of this name.';

create or replace function public.object_path_in(bucket text, file_path text)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if starts_with(object_path_in.file_path, object_path_in.bucket || '/')
    and not public.has_object(object_path_in.bucket, object_path_in.file_path)
  then
    return substr(object_path_in.file_path, length(object_path_in.bucket) + 2);
  end if;
  return object_path_in.file_path;
end
$$;

revoke execute on function public.object_path_in(text, text) from public, anon, authenticated;
grant execute on function public.object_path_in(text, text) to service_role;
comment on function public.object_path_in(text, text) is
  'The name of the object that a file_path means: without the bucket''s name before it, unless there is an object of just this name.';
