"""The pictures of sessions, made after them: in the background, and never in their way.

What a picture looks like is in `drawing`; which are missing, the database knows.
"""
