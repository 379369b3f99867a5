"""Serves routes over HTTP inside a process that has its own signals and its own logs."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from worker.errors import SettingError
from worker.service.http_protocol import MAX_CONNECTIONS, BoundedProtocol

SHUTDOWN_SECONDS = 5  # for requests that are still being answered


class _Server(uvicorn.Server):
    """Leaves the signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """Listen on an address.

    Raises:
        SettingError: it is taken, or not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _unusable(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # two that are only bound to an address may share it
    except OSError as error:
        listener.close()
        raise _unusable(host, port, error) from error
    return listener


class HttpServer:
    """Routes on a bound socket."""

    def __init__(self, routes: Sequence[Route], listener: socket.socket) -> None:
        """`listener` is bound and listens, see `bind`."""
        self._listener = listener
        self._server = _Server(
            uvicorn.Config(
                Starlette(routes=routes),
                lifespan="off",
                log_config=None,
                log_level="critical",  # what goes wrong with a request is logged where it is known
                access_log=False,
                server_header=False,
                http=BoundedProtocol,
                ws="none",  # an upgrade would leave the protocol and its bounds
                backlog=MAX_CONNECTIONS,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )

    async def run(self) -> None:
        """Answer requests until `stop`."""
        await self._server.serve(sockets=[self._listener])

    def stop(self) -> None:
        """Accept no more, and end when what is under way is answered."""
        self._server.should_exit = True


def _unusable(host: str, port: int, error: OSError) -> SettingError:
    return SettingError(
        f"Nothing can listen on {host}:{port} ({error.strerror or error}). "
        "Set HTTP_HOST and HTTP_PORT to a free address of this machine, "
        "or HTTP_PORT=0 to serve none."
    )
