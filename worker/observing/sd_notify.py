"""Reports the state of the process to systemd, by its notification protocol.

Source: sd_notify(3). NOTIFY_SOCKET names the socket; without it there is no service manager.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

WORKING = "Processes uploads and sessions."  # a status is what `systemctl status` shows
READY = f"READY=1\nSTATUS={WORKING}"
STOPPING = "STOPPING=1\nSTATUS=Finishes or releases what it has claimed."
ALIVE = "WATCHDOG=1"

_waiting: dict[str, str] = {}  # for what, by the part of the worker that waits


def notify(state: str) -> None:
    """Send `state`, as one of the constants above. Never blocks and never raises."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # an abstract name begins with a zero byte
        address = f"\0{address[1:]}"
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0)
        sender.sendto(state.encode(), address)


def tell(status: str) -> None:
    """Have `systemctl status` say this, in one line."""
    notify(f"STATUS={' '.join(status.split())}")


def tell_waiting(part: str, reason: str) -> None:
    """Have it say what a part of the worker waits for."""
    _waiting[part] = reason
    _tell_all()


def tell_working(part: str) -> None:
    """Have it say that this part waits no longer."""
    _waiting.pop(part, None)
    _tell_all()


def _tell_all() -> None:
    reasons = " ".join(dict.fromkeys(_waiting.values()))  # mostly the same one
    tell(f"Waits, and tries again: {reasons}" if reasons else WORKING)
