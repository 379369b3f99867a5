"""A client of resumable uploads: the TUS protocol 1.0.0."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

from tests.integration.storing import key_of
from worker.local.stack import StackInfo


@dataclass(frozen=True)
class Tus:
    """Uploads to Storage with the service key, unless there are other headers."""

    http: httpx.AsyncClient
    stack: StackInfo

    async def begin(self, bucket: str, name: str, length: int, **headers: str) -> httpx.Response:
        """Begin an upload; the answer holds its `Location`."""
        told = {"bucketName": bucket, "objectName": name, "contentType": "application/x-c3d"}
        pairs = (
            f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in told.items()
        )
        about = {"Upload-Length": str(length), "Upload-Metadata": ",".join(pairs)}
        return await self.http.post(
            f"{self.stack.url}/storage/v1/upload/resumable", headers=self._headers(about, headers)
        )

    async def send(
        self, location: str, offset: int, content: bytes | AsyncIterator[bytes], **headers: str
    ) -> httpx.Response:
        """Send bytes, the first of which is at `offset`."""
        about = {
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
        }
        return await self.http.patch(
            location, content=content, headers=self._headers(about, headers)
        )

    async def ask(self, location: str, **headers: str) -> httpx.Response:
        """Ask how much is there."""
        return await self.http.head(location, headers=self._headers({}, headers))

    async def upload(self, bucket: str, name: str, content: bytes, **headers: str) -> None:
        """Upload an object in one part: the platform wants those before the last at 6 MB."""
        begun = await self.begin(bucket, name, len(content), **headers)
        assert begun.status_code == 201, begun.text
        sent = await self.send(begun.headers["Location"], 0, content, **headers)
        assert sent.status_code == 204, sent.text

    def _headers(self, about: dict[str, str], others: dict[str, str]) -> dict[str, str]:
        mine = {**key_of(self.stack), "Tus-Resumable": "1.0.0"}
        return {**mine, **about, **{each.replace("_", "-"): said for each, said in others.items()}}
