"""One module for each part of Supabase that the worker talks to; errors come out sorted.

No flow is in here: nothing waits for work, retries, or decides what becomes of a session.
"""
