"""The HTTP face of intake: hears of uploads, and answers what became of them.

An answer below 300 says that nothing is left to do. Whatever else is answered, the sweep finds
the upload; where Supabase or this worker was too busy, the sweep is woken at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from typing import Protocol
from uuid import UUID

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker.backend.intake_register import IntakeResult, Outcome
from worker.errors import UnavailableError, WorkerError
from worker.intake.intake import is_recording
from worker.intake.webhook_body import MalformedError, Upload, read_body
from worker.intake.webhook_signature import Signatures, WebhookRefusedError
from worker.observing import metrics
from worker.observing.logs import traceback_locations

ADDRESS = "/webhooks/storage"
MAX_BODY = 64 * 1024  # bytes
BODY_SECONDS = 10.0  # for all of it to arrive
MAX_AT_ONCE = 64  # requests that wait for an intake slot; more are told to come later
RETRY_AFTER = 5  # seconds, where nobody knows better
STATUSES = {
    Outcome.SESSION: HTTPStatus.CREATED,
    Outcome.SKIPPED: HTTPStatus.CREATED,
    Outcome.DUPLICATE: HTTPStatus.OK,
    Outcome.REFUSED: HTTPStatus.ACCEPTED,
    Outcome.TAKING: HTTPStatus.ACCEPTED,
}

log = structlog.get_logger(__name__)


class TakesIn(Protocol):
    """What takes in an object that was announced: `Intake`."""

    async def announced(self, object_id: UUID, version: str) -> IntakeResult | None:
        """Take it in, or raise UnavailableError."""


class _TooLargeError(Exception):
    """The body has more bytes than any webhook."""


@dataclass(slots=True)
class WebhookService:
    """Answers `POST /webhooks/storage`."""

    intake: TakesIn
    signatures: Signatures
    bucket: str
    every_file: bool
    wake_sweep: Callable[[], None]
    max_concurrent: int = MAX_AT_ONCE
    at_once: int = 0

    def routes(self) -> list[Route]:
        """Return the one route."""
        return [Route(ADDRESS, _guarded(self.answer), methods=["POST"])]

    async def answer(self, request: Request) -> Response:
        """Check size, sender and body, in this order, then take in what was uploaded."""
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
        response = await self._taken_in(upload)
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            self.signatures.forget(message)
            self.wake_sweep()
        return response

    def _concerned(self, upload: Upload) -> bool:
        wanted = self.every_file or is_recording(upload.path)
        return upload.bucket == self.bucket and wanted

    async def _taken_in(self, upload: Upload) -> Response:
        if self.at_once >= self.max_concurrent:
            return _later(HTTPStatus.TOO_MANY_REQUESTS, "Too many uploads at once.", None)
        self.at_once += 1
        try:
            taken = await self.intake.announced(upload.object_id, upload.version)
        except WorkerError as error:
            log.warning("webhook_unavailable", object=str(upload.object_id), code=error.code)
            after = error.retry_after if isinstance(error, UnavailableError) else None
            return _later(HTTPStatus.SERVICE_UNAVAILABLE, "Supabase is in trouble.", after)
        finally:
            self.at_once -= 1
        return _ignored() if taken is None else _told(taken)


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
            log.error("webhook_failed", error=traceback_locations(error))  # noqa: TRY400
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


def _told(taken: IntakeResult) -> Response:
    """The outcome, and the session it is about; why it was refused by its code alone."""
    said = {"outcome": str(taken.outcome)}
    if taken.session:
        said["session_id"] = str(taken.session)
    if taken.detail:
        said["code"] = taken.detail.partition(":")[0]
    return JSONResponse(said, STATUSES[taken.outcome])


def _ignored() -> Response:
    return JSONResponse({"outcome": "ignored"}, HTTPStatus.ACCEPTED)


def _later(status: HTTPStatus, sentence: str, seconds: float | None) -> Response:
    response = _refusal(status, f"{sentence} The sweep takes the upload in as soon as it can.")
    response.headers["Retry-After"] = str(ceil(seconds or RETRY_AFTER))
    return response


def _refusal(status: HTTPStatus, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status)
