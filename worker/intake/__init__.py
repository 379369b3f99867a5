"""Phase 1: an upload becomes a session, exactly once, with its true hash; and the ways to it.

Nothing here opens a recording: what is in a file is the business of `processing`.
"""
