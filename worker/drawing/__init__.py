"""Draws a recording: from its envelope to an image.

Nothing here reads a recording, and nothing here knows the network, asyncio or Supabase.
"""
