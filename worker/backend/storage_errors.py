"""Storage's error answers, sorted by whose fault each one names.

Storage wraps nearly everything in HTTP 400, its own trouble and a refused key included, and says
the true status and a code in the body. So no status blames an object: only a body does that names
the object's own fault. Whatever the tables do not know is Storage's trouble, and heals.

Sources: https://supabase.com/docs/guides/storage/debugging/error-codes, and `src/internal/errors`
and `src/http/error-handler.ts` of https://github.com/supabase/storage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import httpx
from storage3.exceptions import StorageApiError

from worker.errors import (
    BucketMissingError,
    KeyRefusedError,
    ObjectMissingError,
    ObjectRefusedError,
    PathTakenError,
    SizeMismatchError,
    UnavailableError,
    UploadRefusedError,
    WorkerError,
)

STATUS = re.compile(r"[1-5]\d\d")
LOGGED_CODE = re.compile(r"[A-Za-z_]{1,40}")  # without digits: an unknown one must name no patient


class Row(NamedTuple):
    """What an answer must say to be of a kind."""

    status: str  # a pattern of `fnmatch`
    error: type[WorkerError]
    codes: frozenset[str]  # one of them is its `code` or `error`; none given: whatever those are
    message: str = ""  # in place of the codes

    def fits(self, answer: Answer) -> bool:
        """Whether `answer` is of this kind."""
        if not fnmatchcase(answer.status, self.status):
            return False
        if self.message:
            return answer.message == self.message
        return not self.codes or bool(self.codes & {answer.code, answer.error})


def _row(status: str, error: type[WorkerError], *codes: str, message: str = "") -> Row:
    return Row(status, error, frozenset(codes), message)


# The first row that fits decides.
COMMON = (
    # Its own trouble, whatever else the body says: the message of an S3Error can be NoSuchKey.
    _row("5*", UnavailableError),
    _row("*", UnavailableError, "InternalError", "S3Error", "TenantNotFound"),
    _row("401", KeyRefusedError),
    _row("403", KeyRefusedError),
    _row("*", KeyRefusedError, "AccessDenied", "Unauthorized", "InvalidAccessKeyId"),
    _row("*", KeyRefusedError, "InvalidJWT", "ExpiredToken"),
    _row("*", KeyRefusedError, "SignatureDoesNotMatch", "InvalidSignature"),
    # What an older Storage calls the code is the message of its JWT library.
    _row("*", KeyRefusedError, "jwt expired", "jwt malformed", "invalid signature"),
    _row("*", BucketMissingError, "NoSuchBucket", "Bucket not found"),
    _row("404", BucketMissingError, message="Bucket not found"),
)
READING = (
    *COMMON,
    _row("*", ObjectMissingError, "NoSuchKey"),
    # Not `not_found` alone: a route that is missing is not an object.
    _row("404", ObjectMissingError, message="Object not found"),
    _row("*", ObjectRefusedError, "InvalidKey"),
    _row("*", SizeMismatchError, "InvalidRange", "invalid_range"),
    _row("416", SizeMismatchError),  # to a request for the first bytes
)
UPLOADING = (
    *COMMON,
    _row("*", PathTakenError, "KeyAlreadyExists", "ResourceAlreadyExists", "Duplicate"),
    _row("*", UploadRefusedError, "InvalidKey"),
    _row("*", UploadRefusedError, "EntityTooLarge", "Payload too large"),
    _row("*", UploadRefusedError, "InvalidMimeType", "invalid_mime_type"),
    _row("*", UploadRefusedError, "NoSuchKey"),  # gone again, before anybody could look at it
    _row("404", UploadRefusedError, message="Object not found"),
)

# Unavailable errors are logged, so their sentences repeat neither path nor message.
SENTENCES: Mapping[type[WorkerError], str] = {
    UnavailableError: "Storage answered {status} ({code}).",
    KeyRefusedError: "Storage refused the key ({code}).",
    BucketMissingError: "Storage has no bucket {bucket!r}.",
    ObjectMissingError: "Storage has no object {path!r} in {bucket!r}.",
    ObjectRefusedError: "Storage refuses {path!r}: {message}.",
    SizeMismatchError: "{path} has no bytes.",
    PathTakenError: "There is an object at {path} already.",
    UploadRefusedError: "Storage refuses {path} ({status}: {message}).",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What an error answer says of itself; empty texts where it does not."""

    status: str  # the body's, else that of HTTP
    code: str = ""  # such as `NoSuchKey`
    error: str = ""  # an older name of the same, such as `not_found`
    message: str = ""

    @classmethod
    def of(cls, response: httpx.Response) -> Answer:
        """Read a response whose body was fetched; one that is not a JSON object says nothing."""
        try:
            body = response.json()
        except ValueError:
            body = None
        said: Mapping[str, Any] = body if isinstance(body, dict) else {}
        status = str(said.get("statusCode") or "")
        return cls(
            status if STATUS.fullmatch(status) else str(response.status_code),
            *(str(said.get(name) or "") for name in ("code", "error", "message")),
        )

    def kind(self, table: Sequence[Row]) -> type[WorkerError]:
        """Return what the first fitting row of `table` says; without one, Storage is in trouble."""
        if not {self.code, self.error, self.message} - {""}:  # a gateway's: nobody is named
            return UnavailableError
        return next((row.error for row in table if row.fits(self)), UnavailableError)

    def as_error(self, table: Sequence[Row], *, bucket: str, path: str = "") -> WorkerError:
        """Return the error that the answer stands for, to a request for `path` in `bucket`."""
        kind = self.kind(table)
        shown = self.code or self.error
        code = shown if LOGGED_CODE.fullmatch(shown) else "no code"
        said = self.message.rstrip(".") or shown
        return kind(
            SENTENCES[kind].format(
                status=self.status, code=code, message=said, bucket=bucket, path=path
            )
        )


def answer_behind(error: StorageApiError) -> Answer:
    """Return the answer that the client library raised `error` for.

    The library drops `code`, and takes every body in another form for an InternalError, so the
    response itself is read, which its exception follows from.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, httpx.HTTPStatusError):
            return Answer.of(cause.response)
        cause = cause.__cause__ or cause.__context__
    return Answer(str(error.status), error.code, message=error.message)
