-- Has every session of one error code tried again, 1,000 in a call.
select requeued, last_session
from requeue_sessions('failed', 'MAX_FILE_MB raised', code => 'file_too_large');
