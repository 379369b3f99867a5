"""A stand-in for Supabase Storage, with real rows in `storage.objects` and the bytes on disk.

Row-level security and triggers see the same as on the platform. It leaves out resumable uploads,
signed uploads and image transformations, which this project does not need.
"""
