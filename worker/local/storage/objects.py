"""The endpoints for whole objects: list a folder, remove, move and copy."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from aiohttp import web

from worker.local.storage.access import Access, Connection
from worker.local.storage.errors import object_missing
from worker.local.storage.files import Files, Version
from worker.local.storage.rows import check_key

_SORTABLE: Final = ("name", "created_at", "updated_at", "last_accessed_at")

# One folder level: files with their row, deeper keys folded into one nameless row per folder.
_LIST: Final = """
with below as (
  select *, substr(name, length($2) + 1) as rest
  from storage.objects
  where bucket_id = $1 and starts_with(name, $2)
),
entries as (
  select id, rest as name, created_at, updated_at, last_accessed_at, metadata
  from below where strpos(rest, '/') = 0
  union all
  select distinct null::uuid, split_part(rest, '/', 1), null::timestamptz, null::timestamptz,
    null::timestamptz, null::jsonb
  from below where strpos(rest, '/') > 0
),
page as (
  select * from entries
  where strpos(lower(name), lower($3)) > 0 or $3 = ''
  order by (id is null) desc, {order}, name
  limit $4 offset $5
)
select coalesce(json_agg(page), '[]')::text from page
"""
_REMOVE: Final = """
delete from storage.objects where bucket_id = $1 and name = any ($2::text[])
returning name, version, to_jsonb(objects) - 'path_tokens' - 'user_metadata' as document
"""
_COPY: Final = """
insert into storage.objects (bucket_id, name, metadata, user_metadata, version, owner, owner_id)
select $2, $3, metadata, user_metadata, $4, owner, owner_id from storage.objects where id = $1
returning id
"""


@dataclass(frozen=True)
class Objects:
    """The endpoints about several objects, or about the path of one."""

    access: Access
    files: Files

    async def listed(self, request: web.Request) -> web.Response:
        """POST /object/list/{bucket}."""
        payload: dict[str, Any] = await request.json()
        prefix = payload.get("prefix") or ""
        sort: dict[str, str] = payload.get("sortBy") or {}
        column = sort.get("column", "name")
        column = column if column in _SORTABLE else "name"
        direction = "desc" if sort.get("order") == "desc" else "asc"
        async with self.access.as_caller(request) as connection:
            listed = await connection.fetchval(
                _LIST.format(order=f"{column} {direction}"),
                request.match_info["bucket"],
                prefix if not prefix or prefix.endswith("/") else f"{prefix}/",
                payload.get("search") or "",
                int(payload.get("limit") or 100),
                int(payload.get("offset") or 0),
            )
        return web.Response(text=listed, content_type="application/json")

    async def removed(self, request: web.Request) -> web.Response:
        """DELETE /object/{bucket}: the keys in `prefixes`; absent ones are not an error."""
        payload: dict[str, Any] = await request.json()
        bucket = request.match_info["bucket"]
        async with self.access.as_caller(request) as connection:
            gone = await connection.fetch(_REMOVE, bucket, payload["prefixes"])
        for row in gone:
            self.files.remove(Version(bucket, row["name"], row["version"]))
        body = f"[{','.join(row['document'] for row in gone)}]"
        return web.Response(text=body, content_type="application/json")

    async def moved(self, request: web.Request) -> web.Response:
        """POST /object/move: the same object under another key, with a new version."""
        source, target = await _from_to(request)
        async with self.access.as_caller(request) as connection:
            row = await _row(connection, source)
            await connection.execute(
                "update storage.objects set bucket_id = $2, name = $3, version = $4, "
                "updated_at = now() where id = $1",
                row["id"],
                target.bucket,
                target.name,
                target.version,
            )
            before = Version(source.bucket, source.name, row["version"])
            await self.files.copy(before, target)  # before the commit: triggers read the bytes
        self.files.remove(before)
        return web.json_response({"message": "Successfully moved", **_answer(row["id"], target)})

    async def copied(self, request: web.Request) -> web.Response:
        """POST /object/copy: another object with the same bytes."""
        source, target = await _from_to(request)
        async with self.access.as_caller(request) as connection:
            row = await _row(connection, source)
            identity = await connection.fetchval(
                _COPY, row["id"], target.bucket, target.name, target.version
            )
            await self.files.copy(Version(source.bucket, source.name, row["version"]), target)
        return web.json_response(_answer(identity, target))


async def _from_to(request: web.Request) -> tuple[Version, Version]:
    payload: dict[str, Any] = await request.json()
    check_key(payload["destinationKey"])
    bucket = payload["bucketId"]
    target_bucket = payload.get("destinationBucket") or bucket
    return (
        Version(bucket, payload["sourceKey"], ""),
        Version(target_bucket, payload["destinationKey"], str(uuid.uuid4())),
    )


async def _row(connection: Connection, source: Version) -> asyncpg.Record:
    row = await connection.fetchrow(
        "select id, version from storage.objects where bucket_id = $1 and name = $2",
        source.bucket,
        source.name,
    )
    if row is None:
        raise object_missing()
    return row


def _answer(identity: uuid.UUID, target: Version) -> dict[str, str]:
    return {"Id": str(identity), "Key": f"{target.bucket}/{target.name}"}
