"""A stand-in for Supabase Realtime: database changes and broadcast over Phoenix channels.

What is left out: presence, private channels and tokens that expire while joined.
"""
