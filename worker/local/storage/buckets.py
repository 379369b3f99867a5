"""The endpoints for buckets: rows of `storage.buckets`, under the caller's role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg
from aiohttp import web

from worker.local.storage.access import Access
from worker.local.storage.errors import StorageError, bucket_missing
from worker.local.storage.files import Files, Version

_SHOWN = """
select to_jsonb(bucket)::text from (
  select id, name, coalesce(owner::text, '') as owner, public, file_size_limit,
    allowed_mime_types, created_at, updated_at
  from storage.buckets
) as bucket
"""
_CREATE = """
insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values ($1, $2, $3, $4, $5)
"""
_UPDATE = """
update storage.buckets
set public = coalesce($2, public),
  file_size_limit = coalesce($3, file_size_limit),
  allowed_mime_types = coalesce($4, allowed_mime_types),
  updated_at = now()
where id = $1
returning id
"""


@dataclass(frozen=True)
class Buckets:
    """The endpoints for buckets; each method states its address."""

    access: Access
    files: Files

    async def listed(self, request: web.Request) -> web.Response:
        """GET /bucket."""
        async with self.access.as_caller(request) as connection:
            rows = await connection.fetch(f"{_SHOWN} order by name")
        return _json(f"[{','.join(row[0] for row in rows)}]")

    async def shown(self, request: web.Request) -> web.Response:
        """GET /bucket/{bucket}."""
        async with self.access.as_caller(request) as connection:
            row = await connection.fetchval(f"{_SHOWN} where id = $1", _bucket(request))
        if row is None:
            raise bucket_missing()
        return _json(row)

    async def created(self, request: web.Request) -> web.Response:
        """POST /bucket."""
        payload: dict[str, Any] = await request.json()
        name = payload.get("name") or payload["id"]
        async with self.access.as_caller(request) as connection:
            await connection.execute(
                _CREATE,
                payload.get("id") or name,
                name,
                bool(payload.get("public")),
                *_limits(payload),
            )
        return web.json_response({"name": name})

    async def updated(self, request: web.Request) -> web.Response:
        """PUT /bucket/{bucket}."""
        payload: dict[str, Any] = await request.json()
        async with self.access.as_caller(request) as connection:
            changed = await connection.fetchval(
                _UPDATE, _bucket(request), payload.get("public"), *_limits(payload)
            )
        if changed is None:
            raise bucket_missing()
        return web.json_response({"message": "Successfully updated"})

    async def emptied(self, request: web.Request) -> web.Response:
        """POST /bucket/{bucket}/empty."""
        async with self.access.as_caller(request) as connection:
            gone = await connection.fetch(
                "delete from storage.objects where bucket_id = $1 returning name, version",
                _bucket(request),
            )
        for row in gone:
            self.files.remove(Version(_bucket(request), row["name"], row["version"]))
        return web.json_response({"message": "Successfully emptied"})

    async def deleted(self, request: web.Request) -> web.Response:
        """DELETE /bucket/{bucket}."""
        try:
            async with self.access.as_caller(request) as connection:
                gone = await connection.fetchval(
                    "delete from storage.buckets where id = $1 returning id", _bucket(request)
                )
        except asyncpg.ForeignKeyViolationError:
            raise StorageError(
                409, "InvalidRequest", "The bucket you tried to delete is not empty"
            ) from None
        if gone is None:
            raise bucket_missing()
        return web.json_response({"message": "Successfully deleted"})


def _bucket(request: web.Request) -> str:
    return request.match_info["bucket"]


def _limits(payload: dict[str, Any]) -> tuple[int | None, list[str] | None]:
    return payload.get("file_size_limit"), payload.get("allowed_mime_types")


def _json(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")
