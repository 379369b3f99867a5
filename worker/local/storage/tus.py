"""What requests of the TUS protocol 1.0.0 say in their headers."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from worker.local.storage.errors import StorageError

PROTOCOL: Final = {"Tus-Resumable": "1.0.0"}


@dataclass(frozen=True)
class Told:
    """What a client tells of an upload when it begins it."""

    bucket: str
    name: str
    mimetype: str
    cache_control: str
    user_metadata: dict[str, Any]
    header: str  # all of it, as it came

    @classmethod
    def read(cls, request: web.Request) -> Told:
        """Read `Upload-Metadata`: pairs of a name and a value in base64, with commas between."""
        header = request.headers["Upload-Metadata"]
        pairs = (pair.split() for pair in header.split(",") if pair.strip())
        told = {name: base64.b64decode("".join(value)).decode() for name, *value in pairs}
        age = told.get("cacheControl", "")
        return cls(
            bucket=told["bucketName"],
            name=told["objectName"],
            mimetype=told.get("contentType") or "application/octet-stream",
            cache_control=f"max-age={age}" if age.isdecimal() else "no-cache",
            user_metadata=_json_object(told.get("metadata", "{}")),
            header=header,
        )


def check_protocol(request: web.Request) -> None:
    """Raise a StorageError for another version of the protocol, or none."""
    if request.headers.get("Tus-Resumable") != PROTOCOL["Tus-Resumable"]:
        raise StorageError(412, "InvalidRequest", "Tus-Resumable Required")


def number(request: web.Request, header: str) -> int:
    """Return the number in a header; raise a ValueError for anything else."""
    if not (text := request.headers[header]).isdecimal():
        raise ValueError(header)
    return int(text)


def _json_object(text: str) -> dict[str, Any]:
    with suppress(ValueError):
        if isinstance(read := json.loads(text), dict):
            return read
    return {}  # as the real service, which says nothing of it
