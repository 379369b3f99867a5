"""Clients of Supabase, one module per part of it; they raise the errors of `worker.errors`.

No control flow belongs here: nothing waits for work, retries, or decides what happens to a session.
"""
