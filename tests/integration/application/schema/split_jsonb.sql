-- As some installations made the names of channels.
drop view public.therapy_sessions_with_technical;
alter table public.c3d_technical_data
  alter column channel_names type jsonb using to_jsonb(channel_names);
