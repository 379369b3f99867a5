"""C3D bytes to facts. Pure: no network, no asyncio, no Supabase."""
