"""A Realtime connection that is redirected is refused, not followed.

The key stands in its address and in the first message, so another host would be told it.

Neither the client of Realtime nor `websockets.connect` takes an option for it. The variable
WEBSOCKETS_MAX_REDIRECTS is read once, when websockets is imported, and 0 makes it not connect at
all. What is left is the one method that decides about redirects, which is public and of its own;
it holds for every WebSocket of the process, and Realtime's are the only ones.
"""

from __future__ import annotations

from websockets.asyncio.client import connect


def refuse_redirects() -> None:
    """Have every WebSocket that is redirected fail with the status that it was answered."""
    connect.process_redirect = _refuse  # type: ignore[assignment, method-assign]


def _refuse(_: connect, error: Exception) -> Exception | str:
    """Return the error to be raised; an address would be followed."""
    return error
