"""Why nothing answers: a misspelt project and a stopped stack need different cures."""

from __future__ import annotations

import socket

import httpx


def reason(error: Exception) -> str:
    """Say in a few words why a request had no answer; no path, which may name a patient."""
    kind = type(error).__name__
    if not isinstance(error, httpx.ConnectError):
        return kind
    host = error.request.url.netloc.decode("ascii") if error.request else "that address"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return f"{kind}: there is no host {host.partition(':')[0]}, or no name server"
        if isinstance(cause, ConnectionRefusedError):
            return f"{kind}: nothing listens at {host}"
        cause = cause.__cause__ or cause.__context__
    return kind
