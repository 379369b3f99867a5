"""Looks at everything the worker needs before it needs it. Each finding has its cure."""
