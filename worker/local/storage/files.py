"""The bytes of every version of every object, one file each, in one directory."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from worker.local.storage.errors import StorageError, object_missing

CHUNK: Final = 256 * 1024  # bytes in memory for each transfer


@dataclass(frozen=True)
class Version:
    """Identifies some bytes: bucket, key and version. Every overwrite makes a new version."""

    bucket: str
    name: str
    version: str


@dataclass(frozen=True)
class Received:
    """Size and hash of the bytes that arrived."""

    size: int  # bytes
    md5: str  # hex digits


@dataclass(frozen=True)
class Files:
    """The files below `root`."""

    root: Path

    async def receive(
        self, version: Version, chunks: AsyncIterator[bytes], *, limit: int | None
    ) -> Received:
        """Write the chunks as they arrive; after a failure no file remains.

        `limit` is the number of bytes that the bucket accepts; None: any.

        Raises:
            StorageError: more bytes arrived than `limit`.
        """
        path = self._path(version)
        path.parent.mkdir(parents=True, exist_ok=True)
        size, md5 = 0, hashlib.md5(usedforsecurity=False)  # the eTag of a simple upload
        try:
            with path.open("wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    _check_size(size, limit)
                    md5.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
        except BaseException:
            self.remove(version)
            raise
        return Received(size, md5.hexdigest())

    async def append(self, version: Version, chunks: AsyncIterator[bytes], *, limit: int) -> None:
        """Write the chunks behind what is there; after a failure those that arrived remain.

        Raises:
            StorageError: more than `limit` bytes would be there.
        """
        with self._path(version).open("ab") as file:
            async for chunk in chunks:
                _check_size(file.tell() + len(chunk), limit)
                await asyncio.to_thread(file.write, chunk)

    def create(self, version: Version) -> None:
        """Make a version without bytes, for `append`."""
        path = self._path(version)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def size(self, version: Version) -> int:
        """Return how many bytes of a version are there."""
        return self._path(version).stat().st_size

    def open(self, version: Version) -> BinaryIO:
        """Open the bytes of a version.

        Raises:
            StorageError: the bytes do not exist.
        """
        try:
            return self._path(version).open("rb")
        except FileNotFoundError:
            raise object_missing() from None

    async def copy(self, source: Version, target: Version) -> None:
        """Copy the bytes of a version to another.

        Raises:
            StorageError: the bytes of `source` do not exist.
        """
        path = self._path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            await asyncio.to_thread(shutil.copyfile, self._path(source), path)
        except FileNotFoundError:
            raise object_missing() from None

    def remove(self, version: Version) -> None:
        """Remove the bytes, if they exist."""
        self._path(version).unlink(missing_ok=True)

    def _path(self, version: Version) -> Path:
        # Hashed, because a key may contain anything, and may be a file and a folder at once.
        key = hashlib.sha256(f"{version.bucket}/{version.name}".encode()).hexdigest()
        return self.root / key[:2] / f"{key}.{version.version}"


def _check_size(size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise StorageError(413, "Payload too large", "The object exceeded the maximum allowed size")
