"""Asking the stand-in for Storage without a library."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg

from worker.local.stack import StackInfo

Seen = Callable[[], Awaitable[list[asyncpg.Record]]]  # returns `event`, and the object's columns


def key_of(stack: StackInfo) -> dict[str, str]:
    """Return the headers of a request with the service key."""
    return {"apikey": stack.secret_key, "Authorization": f"Bearer {stack.secret_key}"}
