"""Checks an installation before the worker needs it: one finding per part, each with its cure.

What the worker does about errors while it runs does not belong here.
"""
