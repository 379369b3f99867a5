-- Until 2025-09-09 a path had one session.
alter table public.therapy_sessions add constraint therapy_sessions_file_path_key unique (file_path);
