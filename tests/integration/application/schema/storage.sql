-- Therapists reach the recordings of their own patients, by the code that the object's name begins
-- with. The platform lets role postgres make policies here; on the local stack a superuser does.
create policy therapist_own_recordings on storage.objects to authenticated using (
  bucket_id = 'c3d-examples'
  and split_part(name, '/', 1) in (
    select p.patient_code from public.patients as p where p.therapist_id = auth.uid()
  )
);
