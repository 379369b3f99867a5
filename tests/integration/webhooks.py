"""Webhooks as a database sends them, signed or not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette

from worker.backend.upload_queue import UploadQueue
from worker.intake.webhook_service import ADDRESS, WebhookService
from worker.intake.webhook_signature import Signatures
from worker.settings import DEFAULT_BUCKET

SECRET = "whsec_dGVzdHMgcGxhbnQgc2VjcmV0cywgYXMgbG9uZyBhcyB0aGlz"
OTHER_SECRET = "whsec_YW5vdGhlciBzZWNyZXQsIGp1c3QgYXMgbG9uZyBhcyB0aGlz"


def body_of(
    object_id: UUID | str, version: str | None = "1", kind: str = "INSERT", **record: Any
) -> bytes:
    """The body of a database webhook of storage.objects."""
    return json.dumps(
        {
            "type": kind,
            "table": "objects",
            "schema": "storage",
            "record": {
                "id": str(object_id),
                "version": version,
                "bucket_id": DEFAULT_BUCKET,
                "name": "P005/a.c3d",
                **record,
            },
            "old_record": None,
        }
    ).encode()


def signed(
    body: bytes, *, secret: str = SECRET, message: str | None = None, at: datetime | None = None
) -> dict[str, str]:
    """The headers of a Standard Webhook."""
    message, at = message or f"msg_{uuid4().hex}", at or datetime.now(UTC)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message, at, body.decode()),
    }


class Endpoint:
    """A webhook service, and how often it woke the intake."""

    def __init__(self, queue: UploadQueue) -> None:
        """Serve in this process, on behalf of `queue`."""
        self.woken = 0
        self.service = WebhookService(queue, Signatures(SECRET), wake_intake=self._wake)
        self._application = Starlette(routes=self.service.routes())

    async def post(self, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send a body, well signed unless `headers` say otherwise."""
        transport = httpx.ASGITransport(self._application)
        async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
            return await client.post(
                ADDRESS, content=body, headers=signed(body) if headers is None else headers
            )

    def _wake(self) -> None:
        self.woken += 1
