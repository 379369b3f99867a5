"""Gives every EMG therapy session uploaded to Supabase its technical row."""
