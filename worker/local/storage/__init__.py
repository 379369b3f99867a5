"""A stand-in for Supabase Storage, with real rows in `storage.objects` and the bytes on disk.

Row-level security and triggers see the same as on the platform. It leaves out the S3 protocol,
image transformations, and the ending of a resumable upload by its client.
"""
