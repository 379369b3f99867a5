"""An answer of Storage blames the object, the bucket or the key only where it names them."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest

from worker.backend.storage_errors import COMMON, READING, UPLOADING, Answer, Row
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

PATH = "P005/Mueller.c3d"


def _answer(status: str, code: str = "", error: str = "", message: str = "") -> Answer:
    return Answer(status, code, error, message)


# As Storage 1.70 answers, and older ones; the last four are no Storage's.
OF_ANY_REQUEST = [
    (_answer("400", "InternalError", "InternalError", "Object not found"), UnavailableError),
    (_answer("500", "InternalError", "Internal", "Object not found"), UnavailableError),
    (_answer("500", "NoSuchKey"), UnavailableError),
    (_answer("400", "TenantNotFound", "TenantNotFound", "Missing tenant config"), UnavailableError),
    (_answer("404", "S3Error", "The key does not exist", "NoSuchKey"), UnavailableError),
    (_answer("404", "", "The key does not exist", "NoSuchKey"), UnavailableError),
    (_answer("400", "InvalidRequest", "InvalidRequest", f"{PATH} is odd"), UnavailableError),
    (_answer("404", "InvalidRequest", "", "The related resource does not exist"), UnavailableError),
    (_answer("409", "TransactionError", "", "Transaction already closed"), UnavailableError),
    (_answer("423", "ResourceLocked", "", "The resource is locked"), UnavailableError),
    (_answer("429", "SlowDown", "too_many_connections", "Too many"), UnavailableError),
    (_answer("503", "DatabaseReadOnly", "", "read-only mode"), UnavailableError),
    (_answer("544", "DatabaseTimeout", "", "timed out"), UnavailableError),
    (_answer("400", "CodeOfTomorrow", "CodeOfTomorrow", PATH), UnavailableError),
    (_answer("404", "", "not_found", "Tenant not found"), UnavailableError),
    (_answer("404", "", "not_found"), UnavailableError),
    (_answer("400", "", "", "Object not found"), UnavailableError),
    (_answer("403", "AccessDenied", "Unauthorized", "jwt expired"), KeyRefusedError),
    (_answer("403", "", "Unauthorized", "Object not found"), KeyRefusedError),
    (_answer("401", "CodeOfTomorrow"), KeyRefusedError),
    (_answer("400", "InvalidJWT", "InvalidJWT", "jwt expired"), KeyRefusedError),
    (_answer("400", "", "jwt expired", "jwt expired"), KeyRefusedError),
    (_answer("400", "", "jwt malformed", "jwt malformed"), KeyRefusedError),
    (_answer("400", "", "invalid signature", "invalid signature"), KeyRefusedError),
    (_answer("400", "ExpiredToken", "", "The provided token has expired."), KeyRefusedError),
    (_answer("400", "InvalidSignature", "", "Invalid signature"), KeyRefusedError),
    (_answer("400", "SignatureDoesNotMatch"), KeyRefusedError),
    (_answer("400", "AccessDenied"), KeyRefusedError),
    (_answer("400", "", "Unauthorized"), KeyRefusedError),
    (_answer("400", "InvalidAccessKeyId"), KeyRefusedError),
    (_answer("404", "NoSuchBucket", "Bucket not found", "Bucket not found"), BucketMissingError),
    (_answer("400", "NoSuchBucket"), BucketMissingError),
    (_answer("404", "", "Bucket not found", "Bucket not found"), BucketMissingError),
    (_answer("404", "", "not_found", "Bucket not found"), BucketMissingError),
    (_answer("404", "", "Not Found", "Route GET:/object/a not found"), UnavailableError),
    (_answer("404", "", "", "no Route matched with those values"), UnavailableError),
    (_answer("404"), UnavailableError),
    (_answer("416"), UnavailableError),
]
OF_READING = [
    (_answer("404", "NoSuchKey", "not_found", "Object not found"), ObjectMissingError),
    (_answer("404", "", "not_found", "Object not found"), ObjectMissingError),
    (_answer("400", "NoSuchKey"), ObjectMissingError),
    (_answer("400", "InvalidKey", "InvalidKey", f"Invalid key: {PATH}"), ObjectRefusedError),
    (_answer("400", "", "InvalidKey"), ObjectRefusedError),
    (_answer("400", "InvalidRange", "invalid_range", "invalid range provided"), SizeMismatchError),
    (_answer("416", "", "InvalidRange"), SizeMismatchError),
    (_answer("416", "CodeOfTomorrow"), SizeMismatchError),
    (_answer("409", "KeyAlreadyExists", "Duplicate"), UnavailableError),
    (_answer("413", "EntityTooLarge", "Payload too large"), UnavailableError),
]
OF_UPLOADING = [
    (_answer("409", "KeyAlreadyExists", "Duplicate", "already exists"), PathTakenError),
    (_answer("409", "ResourceAlreadyExists", "Duplicate"), PathTakenError),
    (_answer("409", "", "Duplicate", "The resource already exists"), PathTakenError),
    (_answer("400", "InvalidKey", "InvalidKey", f"Invalid key: {PATH}"), UploadRefusedError),
    (_answer("413", "EntityTooLarge", "Payload too large"), UploadRefusedError),
    (_answer("413", "", "Payload too large"), UploadRefusedError),
    (_answer("415", "InvalidMimeType", "invalid_mime_type"), UploadRefusedError),
    (_answer("400", "", "invalid_mime_type"), UploadRefusedError),
    (_answer("404", "NoSuchKey", "not_found", "Object not found"), UploadRefusedError),
    (_answer("404", "", "not_found", "Object not found"), UploadRefusedError),
    (_answer("409", "FeatureNotEnabled"), UnavailableError),
    (_answer("416", "InvalidRange"), UnavailableError),
]
CASES = [
    *((COMMON, *case) for case in OF_ANY_REQUEST),
    *((READING, *case) for case in [*OF_ANY_REQUEST, *OF_READING]),
    *((UPLOADING, *case) for case in [*OF_ANY_REQUEST, *OF_UPLOADING]),
    # Nothing of an object blames it where only the bucket was asked for.
    *((COMMON, answer, UnavailableError) for answer, _ in [*OF_READING, *OF_UPLOADING]),
]


@pytest.mark.parametrize(("table", "answer", "kind"), CASES)
def test_an_answer_is_of_the_kind_that_it_names(
    table: Sequence[Row], answer: Answer, kind: type[WorkerError]
) -> None:
    error = answer.as_error(table, bucket="recordings", path=PATH)
    assert type(error) is kind
    assert str(error).endswith(kind.cure)
    assert not issubclass(kind, UnavailableError) or "Mueller" not in str(error)  # it is logged


@pytest.mark.parametrize("table", [COMMON, READING, UPLOADING])
def test_every_row_decides_some_answer(table: Sequence[Row]) -> None:
    answers = [answer for used, answer, _ in CASES if used is table]
    decisive = [next((row for row in table if row.fits(each)), None) for each in answers]
    assert [row for row in table if row not in decisive] == []
    named = {name for each in answers for name in (each.code, each.error)}
    assert {code for row in table for code in row.codes} <= named


def test_a_code_that_could_name_a_patient_is_not_repeated() -> None:
    said = str(_answer("400", PATH, "P005").as_error(READING, bucket="recordings", path=PATH))
    assert "P005" not in said
    assert "400 (no code)" in said


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (400, b'{"statusCode":"404","code":"A","error":"b","message":"c"}', ("404", "A", "b", "c")),
        (400, b'{"code":"A","message":"c"}', ("400", "A", "", "c")),
        (400, b'{"statusCode":404}', ("404", "", "", "")),
        (400, b'{"statusCode":"P005/a.c3d","code":null}', ("400", "", "", "")),
        (404, b"<html>404</html>", ("404", "", "", "")),
        (404, b'["Object not found"]', ("404", "", "", "")),
        (404, b"", ("404", "", "", "")),
        (404, b"\xff\xfe", ("404", "", "", "")),
    ],
)
def test_a_body_says_more_than_its_status(
    status: int, body: bytes, answer: tuple[str, str, str, str]
) -> None:
    assert Answer.of(httpx.Response(status, content=body)) == Answer(*answer)
