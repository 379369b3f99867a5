"""The endpoints for downloads: whole or in part, in bounded memory, by key or by signed URL."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import quote

import asyncpg
from aiohttp import web

from worker.local import keys
from worker.local.storage.access import Access, Connection, key_of, signer_of
from worker.local.storage.errors import StorageError, bucket_missing, object_missing
from worker.local.storage.files import CHUNK, Files, Version

_OBJECT = """
select *, to_jsonb(objects)::text as document
from storage.objects where bucket_id = $1 and name = $2
"""


@dataclass(frozen=True)
class Downloads:
    """The endpoints that read one object, and those that sign URLs for it."""

    access: Access
    files: Files

    async def download(self, request: web.Request) -> web.StreamResponse:
        """GET or HEAD /object/[authenticated/]{bucket}/{name}."""
        async with self.access.as_caller(request) as connection:
            found = await _object(connection, request)
        return await self._send(request, found)

    async def public(self, request: web.Request) -> web.StreamResponse:
        """GET /object/public/{bucket}/{name}: no key, public buckets only."""
        async with self.access.as_itself() as connection:
            if not await connection.fetchval(
                "select public from storage.buckets where id = $1", request.match_info["bucket"]
            ):
                raise bucket_missing()
            found = await _object(connection, request)
        return await self._send(request, found)

    async def signed(self, request: web.Request) -> web.StreamResponse:
        """GET /object/sign/{bucket}/{name}?token=…: the token replaces the key."""
        signer_of(request)
        async with self.access.as_itself() as connection:
            found = await _object(connection, request)
        return await self._send(request, found)

    async def info(self, request: web.Request) -> web.Response:
        """GET /object/info/[authenticated/]{bucket}/{name}."""
        async with self.access.as_caller(request) as connection:
            found = await _object(connection, request)
        row, metadata = json.loads(found["document"]), _metadata(found)
        shown = ("id", "name", "version", "bucket_id", "created_at", "updated_at")
        return web.json_response(
            {name: row[name] for name in shown}
            | {
                "size": metadata.get("size"),
                "content_type": metadata.get("mimetype"),
                "cache_control": metadata.get("cacheControl"),
                "etag": metadata.get("eTag"),
                "last_modified": metadata.get("lastModified"),
                "metadata": row["user_metadata"] or {},
            }
        )

    async def sign(self, request: web.Request) -> web.Response:
        """POST /object/sign/{bucket}/{name}."""
        payload: dict[str, Any] = await request.json()
        async with self.access.as_caller(request) as connection:
            await _object(connection, request)
        return web.json_response({"signedURL": _signed_url(key_of(request), payload)})

    async def sign_many(self, request: web.Request) -> web.Response:
        """POST /object/sign/{bucket}: an answer for every path, found or not."""
        payload: dict[str, Any] = await request.json()
        bucket = request.match_info["bucket"]
        async with self.access.as_caller(request) as connection:
            rows = await connection.fetch(
                "select name from storage.objects where bucket_id = $1 and name = any ($2::text[])",
                bucket,
                payload["paths"],
            )
        found = {row["name"] for row in rows}
        absent = "Either the object does not exist or you do not have access to it"
        return web.json_response(
            [
                {"error": None, "path": path, "signedURL": _signed_url(key, payload)}
                if path in found
                else {"error": absent, "path": path, "signedURL": None}
                for path in payload["paths"]
                for key in (f"{bucket}/{path}",)
            ]
        )

    async def _send(self, request: web.Request, found: asyncpg.Record) -> web.StreamResponse:
        metadata = _metadata(found)
        with self.files.open(Version(found["bucket_id"], found["name"], found["version"])) as file:
            size = file.seek(0, 2)
            first, end, status = _range(request, size)
            headers = {
                "Accept-Ranges": "bytes",
                "Cache-Control": metadata.get("cacheControl") or "no-cache",
                "Content-Length": str(end - first),
                "Content-Type": metadata.get("mimetype") or "application/octet-stream",
                "ETag": metadata.get("eTag") or "",
            }
            if status == 206:  # noqa: PLR2004 - HTTP's number for a part
                headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
            if "download" in request.query:
                filename = quote(request.query["download"] or found["name"].rpartition("/")[2])
                headers["Content-Disposition"] = f"attachment; filename={filename};"
            response = web.StreamResponse(status=status, headers=headers)
            await response.prepare(request)
            if request.method != "HEAD":
                await _copy(file, first, end, response)
            return response


async def _object(connection: Connection, request: web.Request) -> asyncpg.Record:
    row = await connection.fetchrow(
        _OBJECT, request.match_info["bucket"], request.match_info["name"]
    )
    if row is None:
        raise object_missing()
    return row


def _metadata(found: asyncpg.Record) -> dict[str, Any]:
    # NULL in a row that SQL wrote.
    metadata: dict[str, Any] = json.loads(found["metadata"] or "{}")
    return metadata


def _signed_url(key: str, payload: dict[str, Any]) -> str:
    token = keys.sign({"url": key}, seconds=int(payload["expiresIn"]))  # clients send text
    return f"/object/sign/{quote(key)}?token={token}"


def _range(request: web.Request, size: int) -> tuple[int, int, int]:
    """Return the offsets of the first byte and of the byte after the last, and the HTTP status."""
    try:
        wanted = request.http_range
    except ValueError:
        return 0, size, 200  # a malformed Range is ignored (RFC 9110)
    if wanted.start is None and wanted.stop is None:
        return 0, size, 200
    first, end, _ = wanted.indices(size)
    if first >= end:
        raise StorageError(416, "InvalidRange", "The requested range is not satisfiable")
    return first, end, 206


async def _copy(file: BinaryIO, first: int, end: int, response: web.StreamResponse) -> None:
    file.seek(first)
    left = end - first
    while left and (chunk := await asyncio.to_thread(file.read, min(CHUNK, left))):
        await response.write(chunk)
        left -= len(chunk)
