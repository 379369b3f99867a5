"""Answers for people, without a terminal: the state of the queue, one session, one file.

Nothing here changes a session's state, and nothing here prints.
"""
