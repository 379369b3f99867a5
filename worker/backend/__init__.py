"""One module for each door of Supabase. No flow in here."""
