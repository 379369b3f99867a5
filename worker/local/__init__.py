"""A Supabase without Docker, for the demo and the tests.

A worker in service never imports it.
"""
