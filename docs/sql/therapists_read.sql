-- Lets everybody read what the worker found of the sessions that they may read themselves: who sees a
-- row of therapy_sessions by its own policies sees its technical values, and its line in the overview.
--
-- The overview reads set_aside and session_previews as well: of these no more is opened than it shows.

begin;

grant select on public.c3d_technical_data, public.session_overview to authenticated;
grant select (session_id, reason) on public.set_aside to authenticated;
grant select (session_id, object_name, made_at) on public.session_previews to authenticated;
grant execute on function public.channel_faults(jsonb) to authenticated;

drop policy if exists of_readable_sessions on public.c3d_technical_data;
create policy of_readable_sessions on public.c3d_technical_data
for select to authenticated
using (exists (select from public.therapy_sessions as s where s.id = session_id));

drop policy if exists of_readable_sessions on public.set_aside;
create policy of_readable_sessions on public.set_aside
for select to authenticated
using (exists (select from public.therapy_sessions as s where s.id = session_id));

drop policy if exists of_readable_sessions on public.session_previews;
create policy of_readable_sessions on public.session_previews
for select to authenticated
using (exists (select from public.therapy_sessions as s where s.id = session_id));

commit;
