"""The endpoints for uploads in one request: by key, and by a URL that was signed before."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from aiohttp import BodyPartReader, web

from worker.local import keys
from worker.local.storage.access import Access, Claims, caller_of, key_of, signer_of
from worker.local.storage.errors import StorageError, object_missing
from worker.local.storage.files import CHUNK, Files
from worker.local.storage.rows import Content, Rows, Upload

_SIGNED_SECONDS: Final = 2 * 3600  # that a URL for an upload is valid


@dataclass
class _Incoming:
    """The one file in a request, and what the request says about it."""

    mimetype: str
    cache_control: str
    chunks: AsyncIterator[bytes]
    user_metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Uploads:
    """The endpoints for uploads."""

    access: Access
    files: Files
    rows: Rows

    async def upload(self, request: web.Request) -> web.Response:
        """POST /object/{bucket}/{name}, with `x-upsert: true` over an existing object."""
        return await self._stored(request, caller_of(request), replaces=wants_to_replace(request))

    async def update(self, request: web.Request) -> web.Response:
        """PUT /object/{bucket}/{name}: only over an existing object."""
        async with self.access.as_caller(request) as connection:
            if not await connection.fetchval(
                "select exists (select from storage.objects where bucket_id = $1 and name = $2)",
                request.match_info["bucket"],
                request.match_info["name"],
            ):
                raise object_missing()
        return await self._stored(request, caller_of(request), replaces=True)

    async def sign(self, request: web.Request) -> web.Response:
        """POST /object/upload/sign/{bucket}/{name}: a URL by which anybody can upload it.

        The signer must be allowed to; with `x-upsert: true` the upload may overwrite.
        """
        upload = await self._admit(request, caller_of(request), replaces=wants_to_replace(request))
        claims = {
            "url": key_of(request),
            "upsert": upload.replaces,
            "owner": upload.writer.get("sub"),
        }
        token = keys.sign(claims, seconds=_SIGNED_SECONDS)
        url = f"/object/upload/sign/{quote(key_of(request))}?token={token}"
        return web.json_response({"url": url, "token": token})

    async def signed(self, request: web.Request) -> web.Response:
        """PUT /object/upload/sign/{bucket}/{name}?token=…: the token replaces the key."""
        signer = signer_of(request)
        writer = {
            "role": "service_role",
            "sub": signer["owner"],
        }  # what is allowed was asked before
        return await self._stored(request, writer, replaces=signer["upsert"])

    async def _admit(self, request: web.Request, writer: Claims, *, replaces: bool) -> Upload:
        bucket, name = request.match_info["bucket"], request.match_info["name"]
        return await self.rows.admit(writer, bucket, name, replaces=replaces)

    async def _stored(
        self, request: web.Request, writer: Claims, *, replaces: bool
    ) -> web.Response:
        upload = await self._admit(request, writer, replaces=replaces)
        incoming = await _incoming(request)
        upload.check_type(incoming.mimetype)
        received = await self.files.receive(upload.version, incoming.chunks, limit=upload.limit)
        content = Content(
            size=received.size,
            etag=f'"{received.md5}"',
            mimetype=incoming.mimetype,
            cache_control=incoming.cache_control,
            user_metadata=incoming.user_metadata,
        )
        identity = await self.rows.commit(upload, content)
        return web.json_response({"Id": str(identity), "Key": key_of(request)})


def wants_to_replace(request: web.Request) -> bool:
    """Return whether the request asks to overwrite an object that exists."""
    return request.headers.get("x-upsert", "").lower() == "true"


async def _incoming(request: web.Request) -> _Incoming:
    cache_control = request.headers.get("cache-control", "no-cache")
    if request.content_type != "multipart/form-data":
        return _Incoming(request.content_type, cache_control, request.content.iter_chunked(CHUNK))
    user_metadata: dict[str, Any] = {}
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            continue
        if part.filename is not None:  # clients send the fields before the file
            mimetype = part.headers.get("Content-Type", "application/octet-stream")
            return _Incoming(mimetype, cache_control, _chunks(part), user_metadata)
        value = await part.text()
        if part.name == "cacheControl":
            cache_control = f"max-age={value}" if value.isdigit() else value
        elif part.name == "metadata":
            user_metadata = json.loads(value)
    raise StorageError(400, "InvalidRequest", "The request holds no file")


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(CHUNK):
        yield chunk
