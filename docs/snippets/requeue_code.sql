-- Requeues every session that failed with one error code, 1,000 per call.
select requeued, last_session
from requeue_sessions('failed', 'MAX_FILE_MB raised', code => 'file_too_large');
