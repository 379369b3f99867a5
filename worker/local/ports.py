"""TCP ports of this machine: taken, free, held."""

from __future__ import annotations

import socket
from typing import Final

from worker.errors import StackError

HOST: Final = "127.0.0.1"


def hold(port: int, purpose: str) -> socket.socket:
    """Bind a port (0: any free one) so that nobody else takes it.

    Raises:
        StackError: another program listens on it.
    """
    held = socket.socket()
    try:
        # Without it the connections of a stack that just ended would block the port for a minute.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((HOST, port))
    except OSError as error:
        held.close()
        raise StackError(
            f"Port {port}, meant for {purpose}, is taken ({error.strerror}). "
            "Stop the program that listens there, or start with free ports."
        ) from error
    return held


def choose(port: int, purpose: str) -> int:
    """Return the port, or a free one for 0, after making sure that nobody listens on it.

    Raises:
        StackError: another program listens on it.
    """
    with hold(port, purpose) as held:
        chosen: int = held.getsockname()[1]
        return chosen
