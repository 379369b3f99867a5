"""The long-running process: its parts, their start and stop, its HTTP server and its health.

What becomes of an upload or a session is not decided here, but in `intake` and `processing`.
"""
