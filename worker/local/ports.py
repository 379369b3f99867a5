"""TCP ports of this machine: finds free ones, and reserves one."""

from __future__ import annotations

import socket
from typing import Final

from worker.errors import StackError

HOST: Final = "127.0.0.1"


def hold(port: int, purpose: str) -> socket.socket:
    """Return a socket bound to a port (0: any free one), which no other program can use then.

    Raises:
        StackError: another program listens on the port; the message names its `purpose`.
    """
    held = socket.socket()
    try:
        # Without this the connections of a stack that just ended block the port for a minute.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((HOST, port))
    except OSError as error:
        held.close()
        raise StackError(
            f"Port {port}, meant for {purpose}, is taken ({error.strerror}). "
            "Stop the program that listens there, or start with --free-ports."
        ) from error
    return held


def choose(port: int, purpose: str) -> int:
    """Return the port, or a free one for 0, after checking that no program listens on it.

    Raises:
        StackError: another program listens on the port; the message names its `purpose`.
    """
    with hold(port, purpose) as held:
        chosen: int = held.getsockname()[1]
        return chosen
