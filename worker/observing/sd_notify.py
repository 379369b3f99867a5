"""Tells a service manager how the process does: systemd's notification protocol.

Source: sd_notify(3). The socket's name is in NOTIFY_SOCKET; where it is not set, nobody listens.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


def notify(state: str) -> None:
    """Send `state`; never blocks, and never fails: whoever does not listen is told nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # an abstract name begins with a zero byte
        address = f"\0{address[1:]}"
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0)
        sender.sendto(state.encode(), address)
