alter table public.therapy_sessions
  alter column processing_version set default 'c3d-worker';
