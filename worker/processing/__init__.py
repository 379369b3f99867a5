"""Phase 2: a session gets its technical row, or a sentence that says what is wrong with it.

The rules of claims, leases, retries and blame are here. How bytes are read is in `extraction`, and
how a state changes in the SQL functions behind `backend`.
"""
