alter table public.therapy_sessions
  alter column session_code set default gen_random_uuid()::text;
