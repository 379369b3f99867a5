"""Storage's error responses: HTTP 400 for nearly all, with the true status in the body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import asyncpg
from aiohttp import web

from worker.local.keys import InvalidTokenError
from worker.local.postgres import DATABASE_ERRORS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_DATABASE_AWAY: Final = (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError)
_SHOWN_STATUSES: Final = (413, 416, 500, 544)  # those that are the HTTP status too


class StorageError(Exception):
    """A response other than success: the status, its name and a sentence."""

    def __init__(self, status: int, name: str, message: str) -> None:
        """Keep the three parts of the body."""
        super().__init__(message)
        self.status = status
        self.name = name
        self.message = message

    def response(self) -> web.Response:
        """Return the response in Storage's format."""
        body = {"statusCode": str(self.status), "error": self.name, "message": self.message}
        shown = self.status if self.status in _SHOWN_STATUSES else 400
        return web.json_response(body, status=shown)

    def plain(self) -> web.Response:
        """Return the response as the resumable endpoints give it: the true status, and a text."""
        return web.Response(text=self.message, status=self.status)


Shown = Callable[[StorageError], web.Response]


def object_missing() -> StorageError:
    """Return the error for an object that does not exist, or that the caller may not see."""
    return StorageError(404, "not_found", "Object not found")


def bucket_missing() -> StorageError:
    """Return the error for a bucket that does not exist, or that the caller may not see."""
    return StorageError(404, "Bucket not found", "Bucket not found")


def answering(handler: Handler, shown: Shown = StorageError.response) -> Handler:
    """Wrap a handler so that what it raises becomes Storage's response, in the format `shown`."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except StorageError as error:
            return shown(error)
        except (KeyError, ValueError) as error:
            return shown(StorageError(400, "InvalidRequest", f"malformed request: {error}"))
        except (InvalidTokenError, *DATABASE_ERRORS) as error:
            return shown(_translated(error))

    return answer


def _translated(error: Exception) -> StorageError:
    match error:
        case asyncpg.UniqueViolationError():
            return StorageError(409, "Duplicate", "The resource already exists")
        case InvalidTokenError() | asyncpg.InsufficientPrivilegeError():
            return StorageError(403, "Unauthorized", str(error))
        case asyncpg.ForeignKeyViolationError():
            return StorageError(404, "related_resource_not_found", str(error))
        case asyncpg.PostgresError() if not isinstance(error, _DATABASE_AWAY):
            return StorageError(500, "DatabaseError", str(error))
        case _:
            return StorageError(544, "DatabaseTimeout", "The connection to the database timed out")
