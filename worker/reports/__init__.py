"""Answers for people, without a terminal: how the queue is, one session, one file.

Nothing here changes a session, and nothing here prints.
"""
