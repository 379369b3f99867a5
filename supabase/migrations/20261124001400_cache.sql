-- The analytics cache: results that were computed once for a content, and who asked for them.
--
-- Reason: the same recording comes again and again, under other names and for other questions. What
-- is kept is the key `channel_statistics` of analytics_cache, which complete_session writes in the
-- same transaction as the technical row; the other keys are other programs'. An entry says which
-- version computed it, and answers that version only: a newer one computes anew instead of getting
-- a stale answer.

set local lock_timeout = '5s';

create or replace function public.count_cache_hit(session uuid)
returns boolean
language plpgsql
security invoker
set search_path = ''
set lock_timeout = '1s'  -- a hit is not worth a longer wait
as $$
begin
  update public.therapy_sessions as s
  set cache_hits = coalesce(s.cache_hits, 0) + 1, last_accessed_at = clock_timestamp()
  where s.id = count_cache_hit.session;
  return found;
exception when lock_not_available then
  return false;
end
$$;

revoke execute on function public.count_cache_hit(uuid) from public, anon, authenticated;
grant execute on function public.count_cache_hit(uuid) to service_role;
comment on function public.count_cache_hit(uuid) is
  'Counts that a session was found instead of made anew. False: there is no such session, or somebody else has its row locked for longer than a second.';

create or replace function public.cached_statistics(file_hash text, version integer)
returns jsonb
language sql
security invoker
set search_path = ''
as $$
  update public.therapy_sessions as s
  set cache_hits = coalesce(s.cache_hits, 0) + 1, last_accessed_at = clock_timestamp()
  where s.file_hash = lower(cached_statistics.file_hash)
    and s.analytics_cache #>> '{channel_statistics,version}' = cached_statistics.version::text
  returning s.analytics_cache -> 'channel_statistics'
$$;

revoke execute on function public.cached_statistics(text, integer) from public, anon, authenticated;
grant execute on function public.cached_statistics(text, integer) to service_role;
comment on function public.cached_statistics(text, integer) is
  'The channel statistics of a content, if that version computed them, and the hit is counted. Otherwise nothing.';

create or replace function public.cache_statistics(file_hash text, statistics jsonb)
returns boolean
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if jsonb_typeof(cache_statistics.statistics -> 'version') is distinct from 'number' then
    raise exception 'statistics must be an object that says the version which computed it.'
      using errcode = 'invalid_parameter_value';
  end if;
  if octet_length(cache_statistics.statistics::text) > 65536 then
    raise exception 'statistics must be 64 KB at most.' using errcode = 'invalid_parameter_value';
  end if;

  update public.therapy_sessions as s
  set analytics_cache =
    case when jsonb_typeof(s.analytics_cache) = 'object' then s.analytics_cache else '{}' end
    || jsonb_build_object('channel_statistics', cache_statistics.statistics)
  where s.file_hash = lower(cache_statistics.file_hash);

  return found;
end
$$;

revoke execute on function public.cache_statistics(text, jsonb) from public, anon, authenticated;
grant execute on function public.cache_statistics(text, jsonb) to service_role;
comment on function public.cache_statistics(text, jsonb) is
  'Keeps the channel statistics of a content, 64 KB at most, in place of older ones. False: no session has that content.';

create or replace function public.invalidate_statistics(file_hash text)
returns boolean
language plpgsql
security invoker
set search_path = ''
as $$
begin
  update public.therapy_sessions as s
  set analytics_cache = s.analytics_cache - 'channel_statistics'
  where s.file_hash = lower(invalidate_statistics.file_hash)
    and jsonb_typeof(s.analytics_cache) = 'object'
    and s.analytics_cache ? 'channel_statistics';

  return found;
end
$$;

revoke execute on function public.invalidate_statistics(text) from public, anon, authenticated;
grant execute on function public.invalidate_statistics(text) to service_role;
comment on function public.invalidate_statistics(text) is
  'Forgets the channel statistics of a content. False: there were none.';
