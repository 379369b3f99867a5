"""Client of Storage for uploads: it streams a file from disk in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import httpx
from storage3.exceptions import StorageApiError

from worker.backend.connection import Connection
from worker.backend.storage_errors import UPLOADING, answer_behind
from worker.backend.unreachable import reason
from worker.errors import UnavailableError


class _CountingReader(io.BufferedReader):
    """A file that reports how many bytes each read returned."""

    def __init__(self, path: Path, on_bytes: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path))
        self._on_bytes = on_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        self._on_bytes(len(chunk))
        return chunk


class Uploads:
    """Uploads files to one bucket."""

    def __init__(self, connection: Connection, bucket: str) -> None:
        """`bucket` is the name of the bucket that receives the files."""
        self._bucket = connection.supabase.storage.from_(bucket)

    async def upload(self, path: str, file: Path, on_bytes: Callable[[int], None]) -> UUID:
        """Upload `file` to `path`, in one multipart request, and return the object's id.

        Args:
            path: the object's key in the bucket.
            file: the file on this machine.
            on_bytes: called with the length of every chunk in bytes.

        Raises:
            BucketMissingError: the bucket does not exist.
            PathTakenError: there is already an object at `path`.
            UploadRefusedError: Storage refuses the file.
            UnavailableError: Storage is unavailable.
            OSError: the file cannot be read.
        """
        key = quote(path, safe="/")  # the library unquotes it
        with self._sorted_errors(path):
            with _CountingReader(file, on_bytes) as content:
                await self._bucket.upload(key, content)
            return UUID((await self._bucket.info(key))["id"])

    async def find(self, path: str) -> UUID:
        """Return the id of the object at `path`; raises the errors of `upload`."""
        with self._sorted_errors(path):
            return UUID((await self._bucket.info(quote(path, safe="/")))["id"])

    @contextmanager
    def _sorted_errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise UnavailableError(f"Storage does not answer ({reason(error)}).") from error
        except StorageApiError as error:
            answer = answer_behind(error)
            raise answer.as_error(UPLOADING, bucket=self._bucket.id, path=path) from error
        except (KeyError, TypeError, ValueError) as error:
            raise UnavailableError("Storage answered something else than an object.") from error
