"""The endpoints for uploads: first the bytes on disk, then one row, at which triggers fire.

As in the real service: before it accepts a byte, it inserts a row and rolls back, to check whether
the caller may write; at the commit `metadata` is complete; an overwrite changes `version`.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
from aiohttp import BodyPartReader, web

from worker.local.storage.access import Access, Connection, owner_of
from worker.local.storage.errors import StorageError, bucket_missing, object_missing
from worker.local.storage.files import CHUNK, Files, Version

# Storage's own rule: a few ASCII characters only.
_VALID_KEY: Final = re.compile(r"[\w/!\-.*'() &$@=;:+,?]+", re.ASCII)

_INSERT = """
insert into storage.objects (bucket_id, name, metadata, user_metadata, version, owner, owner_id)
values ($1, $2, $3, $4, $5, $6::uuid, $6::text)
"""
_REPLACE = """
on conflict (bucket_id, name) do update set
  metadata = excluded.metadata, user_metadata = excluded.user_metadata,
  version = excluded.version, owner = excluded.owner, owner_id = excluded.owner_id,
  updated_at = now()
"""


@dataclass
class _Incoming:
    """The one file in a request, and what the request says about it."""

    mimetype: str
    cache_control: str
    chunks: AsyncIterator[bytes]
    user_metadata: dict[str, Any] = field(default_factory=dict)


class _RollBack(Exception):  # noqa: N818 - a signal, not an error
    """Roll back a transaction that only checked something."""


@dataclass(frozen=True)
class Uploads:
    """The endpoints for uploads."""

    access: Access
    files: Files

    async def upload(self, request: web.Request) -> web.Response:
        """POST /object/{bucket}/{name}, with `x-upsert: true` over an existing object."""
        return await self._store(
            request, replace=request.headers.get("x-upsert", "").lower() == "true"
        )

    async def update(self, request: web.Request) -> web.Response:
        """PUT /object/{bucket}/{name}: only over an existing object."""
        async with self.access.as_caller(request) as connection:
            if await _current(connection, request) is None:
                raise object_missing()
        return await self._store(request, replace=True)

    async def _store(self, request: web.Request, *, replace: bool) -> web.Response:
        bucket, name = request.match_info["bucket"], request.match_info["name"]
        if not _VALID_KEY.fullmatch(name):
            raise StorageError(400, "InvalidKey", f"Invalid key: {name}")
        rules = await self._bucket(bucket)
        version = Version(bucket, name, str(uuid.uuid4()))
        await self._check_access(request, version, replace=replace)
        incoming = await _incoming(request)
        _check_type(incoming.mimetype, rules["allowed_mime_types"])
        received = await self.files.receive(
            version, incoming.chunks, limit=rules["file_size_limit"]
        )
        metadata = {
            "eTag": f'"{received.md5}"',
            "size": received.size,
            "mimetype": incoming.mimetype,
            "cacheControl": incoming.cache_control,
            "contentLength": received.size,
            "httpStatusCode": 200,
        }
        try:
            async with self.access.as_caller(request) as connection:
                before = await _current(connection, request)
                identity = await _write(
                    connection, request, version, metadata, incoming.user_metadata, replace=replace
                )
        except BaseException:
            self.files.remove(version)
            raise
        if before is not None:
            self.files.remove(Version(bucket, name, before))
        return web.json_response({"Id": str(identity), "Key": f"{bucket}/{name}"})

    async def _bucket(self, bucket: str) -> asyncpg.Record:
        async with self.access.as_itself() as connection:
            row = await connection.fetchrow(
                "select file_size_limit, allowed_mime_types from storage.buckets where id = $1",
                bucket,
            )
        if row is None:
            raise bucket_missing()
        return row

    async def _check_access(self, request: web.Request, version: Version, *, replace: bool) -> None:
        try:
            async with self.access.as_caller(request) as connection:
                await _write(connection, request, version, None, {}, replace=replace)
                raise _RollBack  # noqa: TRY301 - leaving the block is what rolls back
        except _RollBack:
            pass


async def _current(connection: Connection, request: web.Request) -> str | None:
    version: str | None = await connection.fetchval(
        "select version from storage.objects where bucket_id = $1 and name = $2",
        request.match_info["bucket"],
        request.match_info["name"],
    )
    return version


async def _write(
    connection: Connection,
    request: web.Request,
    version: Version,
    metadata: dict[str, Any] | None,
    user_metadata: dict[str, Any],
    *,
    replace: bool,
) -> uuid.UUID:
    if metadata is not None:
        now = await connection.fetchval("""select to_jsonb(now()) #>> '{}'""")
        metadata = {**metadata, "lastModified": now}
    identity: uuid.UUID = await connection.fetchval(
        f"{_INSERT} {_REPLACE if replace else ''} returning id",
        version.bucket,
        version.name,
        None if metadata is None else json.dumps(metadata),
        json.dumps(user_metadata),
        version.version,
        owner_of(request),
    )
    return identity


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


def _check_type(mimetype: str, allowed: list[str] | None) -> None:
    kinds = (mimetype, f"{mimetype.partition('/')[0]}/*", "*/*")
    if allowed and not any(kind in allowed for kind in kinds):
        raise StorageError(415, "invalid_mime_type", f"mime type {mimetype} is not supported")
