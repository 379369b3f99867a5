"""A stand-in for Supabase Storage: rows in `storage.objects` are real, bytes lie on disk.

Row-level security and triggers see what they see on the platform. What is left out: resumable
uploads, signed uploads and image transformations, which nothing here uses.
"""
