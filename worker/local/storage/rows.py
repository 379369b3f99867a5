"""The row of an upload, however its bytes arrive: first they are on disk, then triggers fire.

As in the real service: before it accepts a byte, it inserts a row and rolls back, to check whether
the caller may write; at the commit `metadata` is complete; an overwrite changes `version`.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from worker.local.storage.access import Access, Claims, Connection
from worker.local.storage.errors import StorageError, bucket_missing
from worker.local.storage.files import Files, Version

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


@dataclass(frozen=True)
class Upload:
    """An upload whose bytes may come: where to, by whom, and what its bucket accepts."""

    version: Version
    writer: Claims
    replaces: bool  # whether it may overwrite
    limit: int | None  # bytes; None: any number
    allowed_types: list[str] | None  # such as image/*; None: any

    def check_type(self, mimetype: str) -> None:
        """Raise a StorageError for a type that the bucket does not accept."""
        kinds = (mimetype, f"{mimetype.partition('/')[0]}/*", "*/*")
        if self.allowed_types and not any(kind in self.allowed_types for kind in kinds):
            raise StorageError(415, "invalid_mime_type", f"mime type {mimetype} is not supported")


@dataclass(frozen=True)
class Content:
    """What the row says of the bytes."""

    size: int
    etag: str
    mimetype: str
    cache_control: str
    user_metadata: dict[str, Any] = field(default_factory=dict)


class _RollBack(Exception):  # noqa: N818 - a signal, not an error
    """Roll back a transaction that only checked something."""


@dataclass(frozen=True)
class Rows:
    """Writes rows of `storage.objects`."""

    access: Access
    files: Files

    async def admit(self, writer: Claims, bucket: str, name: str, *, replaces: bool) -> Upload:
        """Return the upload of a new version.

        Raises:
            StorageError: the key is none, or there is no such bucket.
            asyncpg.PostgresError: the writer may not write it, or it is there already.
        """
        check_key(name)
        async with self.access.as_itself() as connection:
            rules = await connection.fetchrow(
                "select file_size_limit, allowed_mime_types from storage.buckets where id = $1",
                bucket,
            )
        if rules is None:
            raise bucket_missing()
        version = Version(bucket, name, str(uuid.uuid4()))
        upload = Upload(version, writer, replaces, *rules)
        await self.check(upload)
        return upload

    async def check(self, upload: Upload) -> None:
        """Raise what writing the row would raise now."""
        try:
            async with self.access.acting_as(upload.writer) as connection:
                await _write(connection, upload, None)
                raise _RollBack  # noqa: TRY301 - leaving the block is what rolls back
        except _RollBack:
            pass

    async def commit(self, upload: Upload, content: Content) -> uuid.UUID:
        """Write the row, and return the object's id; if that fails, the bytes are removed."""
        try:
            async with self.access.acting_as(upload.writer) as connection:
                before = await _current(connection, upload.version)
                identity = await _write(connection, upload, content)
        except BaseException:
            self.files.remove(upload.version)
            raise
        if before is not None:
            self.files.remove(before)
        return identity


def check_key(name: str) -> None:
    """Raise a StorageError for a name that no object can have."""
    if not _VALID_KEY.fullmatch(name):
        raise StorageError(400, "InvalidKey", f"Invalid key: {name}")


async def _current(connection: Connection, version: Version) -> Version | None:
    current = await connection.fetchval(
        "select version from storage.objects where bucket_id = $1 and name = $2",
        version.bucket,
        version.name,
    )
    return None if current is None else Version(version.bucket, version.name, current)


async def _write(connection: Connection, upload: Upload, content: Content | None) -> uuid.UUID:
    """Write the row as at the end, or, without `content`, as for the check."""
    metadata = None if content is None else await _metadata(connection, content)
    identity: uuid.UUID = await connection.fetchval(
        f"{_INSERT} {_REPLACE if upload.replaces else ''} returning id",
        upload.version.bucket,
        upload.version.name,
        None if metadata is None else json.dumps(metadata),
        json.dumps({} if content is None else content.user_metadata),
        upload.version.version,
        upload.writer.get("sub"),  # None for a service key
    )
    return identity


async def _metadata(connection: Connection, content: Content) -> dict[str, Any]:
    return {
        "eTag": content.etag,
        "size": content.size,
        "mimetype": content.mimetype,
        "cacheControl": content.cache_control,
        "contentLength": content.size,
        "httpStatusCode": 200,
        "lastModified": await connection.fetchval("""select to_jsonb(now()) #>> '{}'"""),
    }
