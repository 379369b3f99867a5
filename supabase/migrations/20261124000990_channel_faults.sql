-- What is wrong with the channels of a recording, in words.
--
-- Reason: a clinician asks whether the recording worked, and reads no JSON. The cache holds codes and
-- numbers, so that they have room; the words are made here, whenever somebody looks. The cache is a
-- column of the application's as well: what is not as the worker writes it is passed over.

set local lock_timeout = '5s';

create or replace function public.channel_faults(channels jsonb)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  with judged as (
    select
      coalesce(nullif(channel.said ->> 'name', ''), format('channel %s', channel.number)) as name,
      channel.number,
      verdict.said ->> 'code' as code,
      case when jsonb_typeof(verdict.said -> 'share') = 'number'
        then (verdict.said ->> 'share')::numeric * 100
      end as percent,
      case when jsonb_typeof(verdict.said -> 'count') = 'number'
        then (verdict.said ->> 'count')::numeric
      end as count,
      case when jsonb_typeof(verdict.said -> 'seconds') = 'number'
        then (verdict.said ->> 'seconds')::numeric
      end as seconds
    from jsonb_array_elements(
      case when jsonb_typeof(channel_faults.channels) = 'array' then channel_faults.channels end
    ) with ordinality as channel (said, number)
    cross join lateral (
      select each.said
      from jsonb_array_elements(
        case when jsonb_typeof(channel.said -> 'verdicts') = 'array' then channel.said -> 'verdicts' end
      ) as each (said)
      union all
      select jsonb_build_object('code', 'not_finite', 'count', channel.said -> 'not_finite')
      where jsonb_typeof(channel.said -> 'not_finite') = 'number'
        and channel.said -> 'not_finite' > '0'
    ) as verdict
  ),

  sentences as (
    select
      row_number() over (
        order by
          array_position(
            array['dropout', 'clipped', 'flat', 'not_finite', 'mains', 'motion', 'coarse'], judged.code
          ) nulls last,
          coalesce(judged.seconds, judged.percent) desc nulls last,
          judged.number
      ) as place,
      format('%s: %s', judged.name, case judged.code
        when 'dropout' then concat_ws(
          ', ',
          case judged.count
            when 1 then 'radio link lost once'
            else format('radio link lost %s times', judged.count)
          end,
          trim_scale(round(judged.seconds, 1)) || ' s'
        )
        when 'clipped' then format(
          '%s %% cut off', trim_scale(round(judged.percent, case when judged.percent < 1 then 2 else 0 end))
        )
        when 'flat' then 'no signal'
        when 'not_finite' then format('%s samples are no numbers', judged.count)
        when 'mains' then format('%s %% mains hum', round(judged.percent))
        when 'motion' then format('%s %% movement', round(judged.percent))
        when 'coarse' then format('only %s different values', judged.count)
        else coalesce(judged.code, 'unknown')
      end) as words
    from judged
  )

  select concat_ws(
    ' · ',
    string_agg(sentences.words, ' · ' order by sentences.place) filter (where sentences.place <= 4),
    case when count(*) > 4 then format('and %s more', count(*) - 4) end
  )
  from sentences
  having count(*) > 0
$$;

revoke execute on function public.channel_faults(jsonb) from public, anon, authenticated;
grant execute on function public.channel_faults(jsonb) to service_role;
comment on function public.channel_faults(jsonb) is
  'The four worst faults of the channels in channel_statistics, in words; null where there is none.';
