"""Reads C3D files: from bytes to technical values, game values and channel statistics.

Nothing here knows the network, asyncio or Supabase.
"""
