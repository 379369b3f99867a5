"""From the bytes of a C3D file to its facts: no network, no asyncio, no Supabase."""
