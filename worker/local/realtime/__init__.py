"""A stand-in for Supabase Realtime: database changes and broadcast over Phoenix channels.

Private channels are for the service key, as in a project without policies on `realtime.messages`.
It leaves out presence, those policies and tokens that expire while joined.
"""
