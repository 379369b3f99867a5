create schema backup;
create table backup.therapy_sessions as table public.therapy_sessions;
