"""A Supabase without Docker, for the demo and the tests; a worker in service carries none of it."""
