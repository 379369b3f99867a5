"""A Supabase without Docker, for the demo and the tests."""
