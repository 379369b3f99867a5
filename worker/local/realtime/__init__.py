"""A stand-in for Supabase Realtime: database changes and broadcast over Phoenix channels.

It leaves out presence, private channels and tokens that expire while joined.
"""
