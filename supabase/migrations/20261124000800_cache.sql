-- The analytics cache: results that were computed once for a content, and who asked for them.
--
-- Reason: the same recording comes again and again, under other names and to other questions.
-- What is kept is the key `channel_statistics` of analytics_cache, which completing a session
-- writes in the same transaction as its technical row; the other keys are other programs'.
-- An entry says which version computed it, and answers that version only: a newer one computes
-- anew instead of being answered something stale.

set local lock_timeout = '5s';

-- A hit ---------------------------------------------------------------------------------------

create or replace function public.count_cache_hit(session uuid)
returns boolean
language sql
volatile
security invoker
set search_path = ''
as $$
  with hit as (
    update public.therapy_sessions as s
    set cache_hits = coalesce(s.cache_hits, 0) + 1, last_accessed_at = clock_timestamp()
    where s.id = count_cache_hit.session
    returning 1
  )
  select exists (select from hit)
$$;

-- Get and put ----------------------------------------------------------------------------------

create or replace function public.cached_statistics(file_hash text, version integer)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  update public.therapy_sessions as s
  set cache_hits = coalesce(s.cache_hits, 0) + 1, last_accessed_at = clock_timestamp()
  where s.file_hash in (lower(cached_statistics.file_hash), upper(cached_statistics.file_hash))
    and s.analytics_cache #>> '{channel_statistics,version}' = cached_statistics.version::text
  returning s.analytics_cache -> 'channel_statistics'
$$;

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
  where s.file_hash in (lower(cache_statistics.file_hash), upper(cache_statistics.file_hash));

  return found;
end
$$;

-- Forget ---------------------------------------------------------------------------------------

create or replace function public.invalidate_statistics(file_hash text)
returns boolean
language plpgsql
security invoker
set search_path = ''
as $$
begin
  update public.therapy_sessions as s
  set analytics_cache = s.analytics_cache - 'channel_statistics'
  where s.file_hash in (lower(invalidate_statistics.file_hash), upper(invalidate_statistics.file_hash))
    and jsonb_typeof(s.analytics_cache) = 'object'
    and s.analytics_cache ? 'channel_statistics';

  return found;
end
$$;

create or replace function public.evict_statistics(older_than_seconds double precision)
returns bigint
language plpgsql
security invoker
set search_path = ''
as $$
declare
  evicted bigint;
begin
  update public.therapy_sessions as s
  set analytics_cache = s.analytics_cache - 'channel_statistics'
  where jsonb_typeof(s.analytics_cache) = 'object'
    and s.analytics_cache ? 'channel_statistics'
    and coalesce(s.last_accessed_at, '-infinity')
      < clock_timestamp() - make_interval(secs => evict_statistics.older_than_seconds);
  get diagnostics evicted = row_count;

  return evicted;
end
$$;

-- How it does ----------------------------------------------------------------------------------

create or replace function public.cache_report(version integer)
returns table (entries bigint, stale bigint, bytes bigint, hits bigint, last_hit_at timestamptz)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    count(*) filter (where entry is not null),
    count(*) filter (where entry ->> 'version' is distinct from cache_report.version::text
      and entry is not null),
    coalesce(sum(octet_length(entry::text)), 0)::bigint,
    coalesce(sum(s.cache_hits), 0)::bigint,
    max(s.last_accessed_at) filter (where s.cache_hits > 0)
  from public.therapy_sessions as s,
    lateral (select s.analytics_cache -> 'channel_statistics' as entry) as cached
$$;

-- Access ---------------------------------------------------------------------------------------

revoke execute on function
  public.count_cache_hit(uuid),
  public.cached_statistics(text, integer),
  public.cache_statistics(text, jsonb),
  public.invalidate_statistics(text),
  public.evict_statistics(double precision),
  public.cache_report(integer)
from public, anon, authenticated;

grant execute on function
  public.count_cache_hit(uuid),
  public.cached_statistics(text, integer),
  public.cache_statistics(text, jsonb),
  public.invalidate_statistics(text),
  public.evict_statistics(double precision),
  public.cache_report(integer)
to service_role;

-- In words -------------------------------------------------------------------------------------

comment on function public.count_cache_hit(uuid) is
  'Counts that a session was found instead of made anew. False: there is no such session.';
comment on function public.cached_statistics(text, integer) is
  'The channel statistics of a content, if that version computed them, and the hit is counted. Otherwise nothing.';
comment on function public.cache_statistics(text, jsonb) is
  'Keeps the channel statistics of a content, 64 KB at most, in place of older ones. False: no session holds that content.';
comment on function public.invalidate_statistics(text) is
  'Forgets the channel statistics of a content. False: there were none.';
comment on function public.evict_statistics(double precision) is
  'Forgets the channel statistics that nobody asked for in so many seconds, and says how many.';
comment on function public.cache_report(integer) is
  'How many channel statistics are kept, how many of them another version computed, their bytes, and the hits of all sessions.';
