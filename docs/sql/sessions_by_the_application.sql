update public.worker_settings set bucket = null;
