-- Patients by uuid, a code for each session, and five tables that depend on sessions.
create table public.user_profiles (
  id uuid primary key,
  role text not null check (role in ('therapist', 'researcher', 'admin'))
);
create table public.scoring_configuration (
  id uuid primary key default gen_random_uuid(),
  configuration_name text not null
);
create table public.patients (
  id uuid primary key default gen_random_uuid(),
  patient_code text not null unique check (patient_code ~ '^P[0-9]{3}$'),
  therapist_id uuid references public.user_profiles (id),
  scoring_config_id uuid references public.scoring_configuration (id),
  created_at timestamptz default now()
);
create table public.therapy_sessions (
  id uuid primary key default gen_random_uuid(),
  session_code text not null unique constraint session_code_format check (
    session_code ~ '^(P[0-9]{3}S[0-9]{3}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$'
  ),
  file_path text not null,
  file_hash text not null unique,
  file_size_bytes bigint not null check (file_size_bytes > 0),
  patient_id uuid references public.patients (id),
  therapist_id uuid references public.user_profiles (id),
  scoring_config_id uuid references public.scoring_configuration (id),
  game_metadata jsonb default '{}',
  processing_status text not null default 'pending' constraint status_valid check (
    processing_status in ('pending', 'processing', 'completed', 'failed', 'reprocessing')
  ),
  processing_error_message text,
  processing_time_ms real,
  processed_at timestamptz,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table public.emg_statistics (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null references public.therapy_sessions (id) on delete cascade,
  channel_name text not null,
  rms real
);
create table public.performance_scores (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null unique references public.therapy_sessions (id) on delete cascade,
  overall_score real
);
create table public.session_settings (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null references public.therapy_sessions (id) on delete cascade,
  mvc_threshold_percentage real
);
create table public.bfr_monitoring (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null references public.therapy_sessions (id) on delete cascade,
  actual_pressure_aop real
);
create table public.export_history (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null references public.therapy_sessions (id) on delete cascade,
  export_type text
);

-- Who scores a session, by its therapist and its patient.
create function public.scoring_config_for(therapist uuid, patient uuid) returns uuid
language sql stable set search_path = '' as $$
  select coalesce(
    (select p.scoring_config_id from public.patients as p where p.id = patient),
    (select c.id from public.scoring_configuration as c limit 1)
  )
$$;
create function public.set_scoring_config() returns trigger language plpgsql as $$
begin
  new.scoring_config_id := coalesce(
    new.scoring_config_id, public.scoring_config_for(new.therapist_id, new.patient_id)
  );
  return new;
end
$$;
create trigger set_scoring_config before insert on public.therapy_sessions
for each row execute function public.set_scoring_config();

-- Therapists see their own patients, researchers read everything, admins may do everything.
create function public.user_role() returns text
language sql stable security definer set search_path = '' as $$
  select u.role from public.user_profiles as u where u.id = auth.uid()
$$;

alter table public.patients enable row level security;
create policy therapist_own_patients on public.patients to authenticated
  using (therapist_id = auth.uid());
alter table public.therapy_sessions enable row level security;
create policy therapist_own_sessions on public.therapy_sessions to authenticated
  using (patient_id in (select p.id from public.patients as p where p.therapist_id = auth.uid()));
create policy researcher_reads_patients on public.patients for select to authenticated
  using (public.user_role() = 'researcher');
create policy researcher_reads_sessions on public.therapy_sessions for select to authenticated
  using (public.user_role() = 'researcher');
create policy admin_patients on public.patients to authenticated
  using (public.user_role() = 'admin');
create policy admin_sessions on public.therapy_sessions to authenticated
  using (public.user_role() = 'admin');
create policy service_patients on public.patients to service_role using (true);
create policy service_sessions on public.therapy_sessions to service_role using (true);

do $$
declare
  dependent text;
begin
  foreach dependent in array array[
    'emg_statistics', 'performance_scores', 'session_settings', 'bfr_monitoring', 'export_history'
  ] loop
    execute format('alter table public.%I enable row level security', dependent);
    execute format(
      'create policy of_visible_sessions on public.%I to authenticated
       using (session_id in (select s.id from public.therapy_sessions as s))',
      dependent
    );
  end loop;
end
$$;

insert into public.user_profiles (id, role) values
  ('00000000-0000-4000-8000-000000000001', 'therapist'),
  ('00000000-0000-4000-8000-000000000002', 'therapist'),
  ('00000000-0000-4000-8000-000000000003', 'researcher'),
  ('00000000-0000-4000-8000-000000000004', 'admin');
insert into public.scoring_configuration (configuration_name) values ('GHOSTLY default');
insert into public.patients (patient_code, therapist_id)
select distinct
  patient_code, ('00000000-0000-4000-8000-00000000000' || substr(patient_code, 4, 1))::uuid
from uploaded;
insert into public.therapy_sessions (
  session_code, file_path, file_hash, file_size_bytes, patient_id, therapist_id, game_metadata,
  processing_status, processed_at, processing_time_ms, created_at, updated_at
)
select
  format('%sS%s', patient_code, lpad(number::text, 3, '0')), file_path, file_hash, size_bytes,
  p.id, p.therapist_id,
  jsonb_build_object(
    'level', '2', 'technical_data', jsonb_build_object('sampling_rate', rate, 'frame_count', samples)
  ),
  status, case when status = 'completed' then uploaded_at end, 1234.5, uploaded_at, uploaded_at
from uploaded
join public.patients as p using (patient_code);
insert into public.performance_scores (session_id, overall_score)
select id, 80 from public.therapy_sessions where processing_status = 'completed';
insert into public.emg_statistics (session_id, channel_name, rms)
select id, 'CH1', 0.5 from public.therapy_sessions;
insert into public.session_settings (session_id, mvc_threshold_percentage)
select id, 75 from public.therapy_sessions;
insert into public.bfr_monitoring (session_id, actual_pressure_aop)
select id, 50 from public.therapy_sessions;
insert into public.export_history (session_id, export_type)
select id, 'csv' from public.therapy_sessions where processing_status = 'completed';
