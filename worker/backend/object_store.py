"""Client of Storage for downloads: it streams and hashes an object in bounded memory."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO, Protocol
from urllib.parse import quote

import httpx
from storage3.exceptions import StorageApiError

from worker.backend.connection import Connection
from worker.backend.storage_errors import COMMON, READING, Answer, answer_behind
from worker.backend.unreachable import reason
from worker.errors import (
    DiskFullError,
    FileBeyondIntegerError,
    FileTooLargeError,
    ObjectRefusedError,
    SizeMismatchError,
    UnavailableError,
)

MIN_RATE = 100_000  # bytes per second; a slower download is abandoned
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
MAX_KEY_BYTES = 1024  # of the path of an object in UTF-8: the limit of S3
GRACE_SECONDS = 30.0  # in addition, until the answer begins
MAX_BYTES = 2_147_483_647  # the limit of the INTEGER column `file_size_bytes`


@dataclass(frozen=True, slots=True)
class ObjectDigest:
    """Size and hash of an object that was streamed."""

    size: int  # bytes
    sha256: str  # of the content, in lower-case hex digits


class Writable(Protocol):
    """What takes the bytes of an object."""

    def write(self, chunk: bytes | memoryview, /) -> int:
        """Take the start of `chunk`, and return how much of it."""


class ObjectStore:
    """Downloads objects from one bucket."""

    def __init__(self, connection: Connection, bucket: str) -> None:
        """`bucket` is the name of the bucket that holds the recordings."""
        self._connection = connection
        self._bucket = bucket

    async def check(self) -> bool:
        """Query the bucket, and return whether it is public.

        Raises:
            BucketMissingError: the bucket does not exist.
            KeyRefusedError: Storage refuses the key.
            UnavailableError: Storage is unavailable.
        """
        try:
            return (await self._connection.supabase.storage.get_bucket(self._bucket)).public
        except httpx.HTTPError as error:
            raise _no_answer(error) from error
        except StorageApiError as error:
            raise answer_behind(error).as_error(COMMON, bucket=self._bucket) from error
        except ValueError as error:
            raise UnavailableError("Storage answered something else than a bucket.") from error

    async def fetch(self, path: str, into: BinaryIO, *, size: int, max_bytes: int) -> str:
        """Stream the object at `path` into a file.

        Args:
            path: the object's key in the bucket.
            into: the file that receives its bytes.
            size: the number of bytes that the object must have.
            max_bytes: the largest `size` that is downloaded.

        Returns:
            The SHA-256 of its content, in lower-case hex digits.

        Raises:
            ObjectMissingError: there is no object at `path`.
            ObjectRefusedError: no object can have that `path`.
            SizeMismatchError: the object has another size.
            FileTooLargeError: `size` is larger than `max_bytes`.
            UnavailableError: Storage is unavailable, or slower than MIN_RATE.
            DiskFullError: `into` cannot hold the object.
        """
        if size > max_bytes:
            raise FileTooLargeError(
                f"{path} has {size:,} bytes; this worker takes {max_bytes:,} at most."
            )
        measured = await self._stream(path, into, max_bytes=size)
        if measured.size != size:
            more = "more than " if measured.size > size else ""
            raise SizeMismatchError(
                f"{path} has {more}{min(measured.size, size):,} bytes, its session says {size:,}."
            )
        return measured.sha256

    async def fetch_start(self, path: str, into: BinaryIO, *, max_bytes: int, size: int) -> None:
        """Write the first `max_bytes` bytes of the object at `path` into a file.

        `size`, the number of bytes that the whole object must have, is larger than `max_bytes`.

        Raises:
            ObjectMissingError, ObjectRefusedError, UnavailableError, DiskFullError: as `fetch`.
            SizeMismatchError: the whole object has another size.
        """
        received = 0
        try:
            async with (
                asyncio.timeout(GRACE_SECONDS + max_bytes / MIN_RATE),
                self._get(path, {"Range": f"bytes=0-{max_bytes - 1}"}) as response,
            ):
                whole = _whole_size(response)
                if whole != size:
                    raise SizeMismatchError(
                        f"{path} has {whole:,} bytes, its session says {size:,}."
                    )
                async for chunk in response.aiter_raw():
                    wanted = chunk[: max_bytes - received]
                    received += len(wanted)
                    _write(into, wanted)
                    if received == max_bytes:  # an answer that ignores the range would go on
                        break
        except TimeoutError as error:
            raise UnavailableError("Storage was too slow for the start of an object.") from error
        except httpx.HTTPError as error:
            raise _no_answer(error) from error
        if received < max_bytes:
            raise UnavailableError("Storage ended its answer too early.")

    async def measure(
        self, path: str, *, size: int | None, into: Writable | None = None
    ) -> ObjectDigest:
        """Stream the object at `path`, and return its size and its hash.

        Args:
            path: the object's key in the bucket.
            size: the number of bytes that it should have; None where Storage does not know.
            into: receives its bytes, whatever becomes of them.

        Raises:
            ObjectMissingError, ObjectRefusedError, UnavailableError: as `fetch`.
            SizeMismatchError: the object has another size: it changed meanwhile.
            FileBeyondIntegerError: the object has more bytes than a session can have.
        """
        limit = MAX_BYTES if size is None else size
        measured = ObjectDigest(size or 0, "")
        if limit <= MAX_BYTES:
            measured = await self._stream(path, into, max_bytes=limit)
        if measured.size > MAX_BYTES:
            raise FileBeyondIntegerError(f"{path} has more than {MAX_BYTES:,} bytes.")
        if size is not None and measured.size != size:
            raise SizeMismatchError(f"{path} has not the {size:,} bytes that Storage says.")
        return measured

    async def _stream(self, path: str, into: Writable | None, *, max_bytes: int) -> ObjectDigest:
        """Hash the object, write it `into` a file, and stop at a chunk beyond `max_bytes`."""
        digest, received = hashlib.sha256(), 0
        try:
            async with (
                asyncio.timeout(GRACE_SECONDS + max_bytes / MIN_RATE),
                self._get(path) as response,
            ):
                async for chunk in response.aiter_raw():
                    received += len(chunk)
                    if received > max_bytes:
                        break
                    digest.update(chunk)
                    if into is not None:
                        _write(into, chunk)
        except TimeoutError as error:
            raise UnavailableError(
                f"Storage was too slow for an object of {max_bytes:,} bytes."
            ) from error
        except httpx.HTTPError as error:
            raise _no_answer(error) from error
        return ObjectDigest(received, digest.hexdigest())

    @asynccontextmanager
    async def _get(
        self, path: str, more: Mapping[str, str] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """Request the object as it is stored: a compressed answer would hide its size."""
        if not _is_key(path):
            raise ObjectRefusedError(f"{path[:MAX_KEY_BYTES]!r} cannot be the path of an object.")
        url = f"{self._connection.url}/storage/v1/object/{quote(f'{self._bucket}/{path}')}"
        headers = {**self._connection.headers, "Accept-Encoding": "identity", **(more or {})}
        async with self._connection.http.stream("GET", url, headers=headers) as response:
            if response.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                await response.aread()
                raise Answer.of(response).as_error(READING, bucket=self._bucket, path=path)
            yield response


def _is_key(path: str) -> bool:
    """Return whether Storage can be asked for the path: the way there changes some, or takes none.

    Whether an object may have it is for Storage to say.
    """
    return (
        path != ""
        and not {".", ".."} & set(path.split("/"))
        and not CONTROL.search(path)
        and len(path.encode()) <= MAX_KEY_BYTES
    )


def _whole_size(response: httpx.Response) -> int:
    """Return the size in bytes of the whole object, of which the response may be a part.

    Source: RFC 9110, 14.4, Content-Range: `bytes FIRST-LAST/SIZE`.
    """
    said = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status_code == HTTPStatus.OK:
        said = response.headers.get("Content-Length", "")
    if not said.isdecimal():
        raise UnavailableError("Storage does not say the size of the object.")
    return int(said)


def _no_answer(error: httpx.HTTPError) -> UnavailableError:
    return UnavailableError(f"Storage does not answer ({reason(error)}).")


def _write(file: Writable, chunk: bytes) -> None:
    """Write all of `chunk`; an unbuffered file may accept it in parts."""
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise DiskFullError(
            f"The temporary folder takes no more bytes ({error.strerror})."
        ) from error
