"""Resumable uploads: the TUS protocol 1.0.0, with its creation and expiration extensions.

The bytes come in several requests. What arrived of one that broke off stays, and the client asks
how much that is. At the last byte the row is written as for any other upload. As in the real
service, every request says anew who writes and whether it overwrites, a mistake has its true HTTP
status, and the eTag is that of a multipart upload, which is no hash of the content.
"""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Final

from aiohttp import web

from worker.local.storage.access import caller_of
from worker.local.storage.errors import StorageError
from worker.local.storage.files import CHUNK, Files, Version
from worker.local.storage.rows import Content, Rows, Upload
from worker.local.storage.tus import PROTOCOL, Told, check_protocol, number
from worker.local.storage.uploads import wants_to_replace

_LIFE_SECONDS: Final = 24 * 3600.0  # until an unfinished upload expires


@dataclass
class _Begun:
    """An upload that was begun, and may be complete."""

    upload: Upload
    length: int  # bytes
    told: Told
    expires: float = field(default_factory=lambda: time.time() + _LIFE_SECONDS)
    complete: bool = False
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)  # held by one request at a time


class Resumable:
    """The endpoints for resumable uploads; it forgets what was begun when the stack ends."""

    def __init__(self, files: Files, rows: Rows) -> None:
        """`files` keeps the bytes, `rows` writes the row."""
        self._files = files
        self._rows = rows
        self._begun: dict[str, _Begun] = {}

    async def create(self, request: web.Request) -> web.Response:
        """POST /upload/resumable: begin an upload of `Upload-Length` bytes, at `Location`."""
        check_protocol(request)
        length, told = number(request, "Upload-Length"), Told.read(request)
        upload = await self._rows.admit(
            caller_of(request),
            told.bucket,
            told.name,
            replaces=wants_to_replace(request),
        )
        upload.check_type(told.mimetype)
        if upload.limit is not None and length > upload.limit:
            raise StorageError(413, "Payload too large", "Maximum size exceeded")
        identity = _identity(upload.version)
        begun = self._begun[identity] = _Begun(upload, length, told)
        self._files.create(upload.version)
        if length == 0:
            await self._complete(begun)
        where = str(request.url.with_query(None) / identity)
        return web.Response(status=201, headers={"Location": where, **_state(begun, 0)})

    async def append(self, request: web.Request) -> web.Response:
        """PATCH /upload/resumable/{upload}: the bytes from `Upload-Offset` on."""
        check_protocol(request)
        if "Upload-Offset" not in request.headers:
            raise StorageError(403, "InvalidRequest", "Upload-Offset header required")
        begun = self._found(request)
        async with begun.writing:
            if number(request, "Upload-Offset") != self._offset(begun):
                raise StorageError(409, "InvalidRequest", "Upload-Offset conflict")
            if not begun.complete:
                await self._receive(begun, request)
            return web.Response(status=204, headers=_state(begun, self._offset(begun)))

    async def shown(self, request: web.Request) -> web.Response:
        """HEAD /upload/resumable/{upload}: how many bytes are there, in `Upload-Offset`."""
        caller_of(request)  # anybody with a key
        begun = self._found(request)
        headers = {
            "Cache-Control": "no-store",
            "Upload-Length": str(begun.length),
            "Upload-Metadata": begun.told.header,
        }
        return web.Response(headers={**headers, **_state(begun, self._offset(begun))})

    def _found(self, request: web.Request) -> _Begun:
        begun = self._begun.get(request.match_info["upload"])
        if begun is None:
            raise StorageError(404, "not_found", "The file for this url was not found")
        if not begun.complete and begun.expires < time.time():
            raise StorageError(410, "Gone", "The file for this url no longer exists")
        return begun

    def _offset(self, begun: _Begun) -> int:
        # A complete upload's bytes may have been moved or removed since.
        return begun.length if begun.complete else self._files.size(begun.upload.version)

    async def _receive(self, begun: _Begun, request: web.Request) -> None:
        begun.upload = replace(
            begun.upload, writer=caller_of(request), replaces=wants_to_replace(request)
        )
        await self._rows.check(begun.upload)
        chunks = request.content.iter_chunked(CHUNK)
        await self._files.append(begun.upload.version, chunks, limit=begun.length)
        if self._offset(begun) == begun.length:
            await self._complete(begun)

    async def _complete(self, begun: _Begun) -> None:
        """Write the row; an upload whose row is refused has to begin anew."""
        content = Content(
            size=begun.length,
            etag=f'"{uuid.uuid4().hex}-1"',
            mimetype=begun.told.mimetype,
            cache_control=begun.told.cache_control,
            user_metadata=begun.told.user_metadata,
        )
        try:
            await self._rows.commit(begun.upload, content)
        except BaseException:
            del self._begun[_identity(begun.upload.version)]
            raise
        begun.complete = True


def _identity(version: Version) -> str:
    where = f"{version.bucket}/{version.name}/{version.version}"
    return base64.urlsafe_b64encode(where.encode()).decode().rstrip("=")


def _state(begun: _Begun, offset: int) -> dict[str, str]:
    if begun.complete:
        return {**PROTOCOL, "Upload-Offset": str(begun.length)}
    expires = formatdate(begun.expires, usegmt=True)
    return {**PROTOCOL, "Upload-Offset": str(offset), "Upload-Expires": expires}
