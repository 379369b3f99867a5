"""The webhook: hears of uploads over HTTP, and notes them in the queue of uploads.

No worker needs it where uploads announce themselves. An answer below 300 says that the upload is
noted, or need not be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker.backend.upload_queue import UploadQueue
from worker.errors import UnavailableError, WorkerError
from worker.intake.intake import is_recording
from worker.intake.webhook_body import MalformedError, Upload, read_body
from worker.intake.webhook_signature import Signatures, WebhookRefusedError
from worker.observing import metrics
from worker.observing.logs import traceback_locations

ADDRESS = "/webhooks/storage"
MAX_BODY = 64 * 1024  # bytes
BODY_SECONDS = 10.0  # for all of it to arrive
RETRY_AFTER = 5  # seconds, where nobody knows better

log = structlog.get_logger(__name__)


class _TooLargeError(Exception):
    """The body has more bytes than any webhook."""


@dataclass(frozen=True, slots=True)
class WebhookService:
    """Answers `POST /webhooks/storage`."""

    queue: UploadQueue
    signatures: Signatures
    wake_intake: Callable[[], None]

    def routes(self) -> list[Route]:
        """Return the one route."""
        return [Route(ADDRESS, _guarded(self.answer), methods=["POST"])]

    async def answer(self, request: Request) -> Response:
        """Check size, sender and body, in this order, then note what was uploaded."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read(request)
            message = self.signatures.verify(request.headers, body)
        except _TooLargeError:
            return _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body has more than 64 KB.")
        except TimeoutError:
            refusal = _refusal(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time.")
            refusal.headers["Connection"] = "close"  # the rest of it is not waited for
            return refusal
        except WebhookRefusedError:
            return _refusal(
                HTTPStatus.UNAUTHORIZED,
                "The signature is missing, wrong, late or used before. Compare the secret in "
                "Vault, c3d_webhook_secret, with the worker's WEBHOOK_SECRET, and the clocks.",
            )
        try:
            upload = read_body(body)
        except MalformedError as error:
            return _refusal(HTTPStatus.BAD_REQUEST, str(error))
        if upload is None or not self._concerned(upload):
            return _ignored()
        log.debug("webhook_heard", object=str(upload.object_id))
        response = await self._noted(upload)
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            self.signatures.forget(message)
        return response

    def _concerned(self, upload: Upload) -> bool:
        wanted = self.queue.every_file or is_recording(upload.path)
        return upload.bucket == self.queue.bucket and wanted

    async def _noted(self, upload: Upload) -> Response:
        try:
            outcome = await self.queue.announce(upload.object_id)
        except WorkerError as error:
            log.warning("webhook_unavailable", object=str(upload.object_id), code=error.code)
            after = error.retry_after if isinstance(error, UnavailableError) else None
            return _later(after)
        if outcome is None:
            return _ignored()
        self.wake_intake()
        return JSONResponse({"outcome": str(outcome)}, HTTPStatus.ACCEPTED)


def _guarded(
    answer: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Log what nobody expected, without what the request said, and answer 500."""

    async def attempted(request: Request) -> Response:
        try:
            return await answer(request)
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody reads it
        except Exception as error:  # noqa: BLE001 - a request costs no other one
            log.error("webhook_failed", error=traceback_locations(error))
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "The worker failed: see its log.")

    async def guarded(request: Request) -> Response:
        response = await attempted(request)
        metrics.webhook_answered(response.status_code)
        return response

    return guarded


async def _read(request: Request) -> bytes:
    """Read the body, and no more than the most; what Content-Length says is not relied on."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise _TooLargeError
    return bytes(body)


def _ignored() -> Response:
    return JSONResponse({"outcome": "ignored"}, HTTPStatus.ACCEPTED)


def _later(seconds: float | None) -> Response:
    response = _refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Supabase is in trouble. An upload that announced itself is taken in all the same.",
    )
    response.headers["Retry-After"] = str(ceil(seconds or RETRY_AFTER))
    return response


def _refusal(status: HTTPStatus, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status)
