"""The door to Storage: one object, streamed in bounded memory and hashed on the way."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import quote

import httpx
from storage3.exceptions import StorageApiError

from worker.backend.connection import Connection
from worker.errors import (
    BucketMissingError,
    DiskFullError,
    FileTooLargeError,
    KeyRefusedError,
    ObjectMissingError,
    SizeMismatchError,
    UnavailableError,
)

CHUNK_BYTES = 256 * 1024
SLOWEST = 100_000  # bytes a second; a slower download is given up
GRACE_SECONDS = 30.0  # on top, for the answer to begin


class ObjectStore:
    """The recordings' bucket."""

    def __init__(self, connection: Connection, bucket: str) -> None:
        """Bind to `bucket`; nothing is sent yet."""
        self._connection = connection
        self._bucket = bucket

    async def check(self) -> None:
        """Ask for the bucket.

        Raises:
            BucketMissingError, KeyRefusedError, UnavailableError: as their names say.
        """
        try:
            await self._connection.supabase.storage.get_bucket(self._bucket)
        except httpx.TransportError as error:
            raise _no_answer(error) from error
        except StorageApiError as error:
            raise self._refusal(str(error.status), error.message, "") from error

    async def fetch(self, path: str, into: BinaryIO, *, size: int, most_bytes: int) -> str:
        """Stream the object at `path` into a file.

        Args:
            path: the object's key in the bucket.
            into: where its bytes are written.
            size: bytes the object must have.
            most_bytes: bytes it may have at most.

        Returns:
            The SHA-256 of its content, in lower-case hex digits.

        Raises:
            ObjectMissingError: there is no object at `path`.
            SizeMismatchError, FileTooLargeError: the object has another size, or too large a one.
            UnavailableError: Storage is in trouble, or slower than any network should be.
            DiskFullError: `into` cannot hold it.
        """
        if size > most_bytes:
            raise FileTooLargeError(
                f"{path} has {size:,} bytes; this worker takes {most_bytes:,} at most."
            )
        digest, received = hashlib.sha256(), 0
        try:
            async with (
                asyncio.timeout(GRACE_SECONDS + size / SLOWEST),
                self._get(path) as response,
            ):
                async for chunk in response.aiter_raw(CHUNK_BYTES):
                    received += len(chunk)
                    if received > size:
                        break
                    digest.update(chunk)
                    _write(into, chunk)
        except TimeoutError as error:
            raise UnavailableError(f"Storage was too slow for {path} ({size:,} bytes).") from error
        except httpx.TransportError as error:
            raise _no_answer(error) from error
        if received != size:
            more = "more than " if received > size else ""
            raise SizeMismatchError(
                f"{path} has {more}{min(received, size):,} bytes, its session says {size:,}."
            )
        return digest.hexdigest()

    @asynccontextmanager
    async def _get(self, path: str) -> AsyncIterator[httpx.Response]:
        """Ask for the object as it is stored: a compressed answer would hide its size."""
        if {"", ".", ".."} & set(path.split("/")):
            raise ObjectMissingError(f"{path!r} cannot be the path of an object.")
        url = f"{self._connection.url}/storage/v1/object/{quote(f'{self._bucket}/{path}')}"
        headers = {**self._connection.headers, "Accept-Encoding": "identity"}
        async with self._connection.http.stream("GET", url, headers=headers) as response:
            if response.status_code != HTTPStatus.OK:
                raise await self._explained(response, path)
            yield response

    async def _explained(self, response: httpx.Response, path: str) -> Exception:
        """Read Storage's own status, which it sends in the body of an HTTP 400."""
        await response.aread()
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return UnavailableError(f"Storage answered HTTP {response.status_code} for {path}.")
        return self._refusal(str(body.get("statusCode")), str(body.get("message")), path)

    def _refusal(self, status: str, message: str, path: str) -> Exception:
        if status == "404" and "bucket" in message.lower():
            return BucketMissingError(f"Storage has no bucket {self._bucket!r}.")
        if status == "404":
            return ObjectMissingError(f"Storage has no object {path!r} in {self._bucket!r}.")
        if status in {"401", "403"}:
            return KeyRefusedError(f"Storage refused the key ({message.rstrip('.')}).")
        return UnavailableError(f"Storage answered {status}: {message.rstrip('.')}.")


def _no_answer(error: httpx.TransportError) -> UnavailableError:
    return UnavailableError(f"Storage does not answer ({type(error).__name__}).")


def _write(file: BinaryIO, chunk: bytes) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        raise DiskFullError(
            f"The temporary folder takes no more bytes ({error.strerror})."
        ) from error
