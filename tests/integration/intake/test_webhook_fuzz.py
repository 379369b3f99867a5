"""Whatever is sent to the webhook, it answers with a status that was meant, never with a 500."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.webhooks import SECRET, Endpoint, body_of, signed
from worker.backend.queued_uploads import Outcome
from worker.backend.upload_queue import UploadQueue
from worker.settings import DEFAULT_BUCKET

MEANT = {202, 400, 401, 413}
MANY = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.uuids().map(str) | ANYTHING,
        "version": st.text() | ANYTHING,
        "bucket_id": st.just("c3d-files") | ANYTHING,
        "name": st.just("P1/a.c3d") | ANYTHING,
        "metadata": ANYTHING,
    },
)
WEBHOOKS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["INSERT", "UPDATE", "DELETE"]) | ANYTHING,
        "table": st.just("objects") | ANYTHING,
        "schema": st.just("storage") | ANYTHING,
        "record": RECORDS | ANYTHING,
        "old_record": RECORDS | ANYTHING,
    },
)
HEADER_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126)) | st.sampled_from(
    ["v1,", "v1,AAAA", "nan", "1e999", "-1", SECRET]
)


async def _absent(object_id: UUID) -> Outcome | None:
    assert isinstance(object_id, UUID)
    return None


def status_of(body: bytes, headers: dict[str, str]) -> int:
    """Send it, where the bucket holds no object, and return the answer's status."""
    queue = SimpleNamespace(bucket=DEFAULT_BUCKET, every_file=False, announce=_absent)
    return asyncio.run(Endpoint(cast("UploadQueue", queue)).post(body, headers)).status_code


@MANY
@given(webhook=WEBHOOKS)
def test_any_json_well_signed(webhook: dict[str, Any]) -> None:
    body = json.dumps(webhook).encode()
    assert status_of(body, signed(body)) in MEANT


@MANY
@given(body=st.binary(max_size=2000))
def test_any_bytes_with_the_secret(body: bytes) -> None:
    assert status_of(body, {"x-webhook-secret": SECRET}) in {400, 413}


@MANY
@given(
    headers=st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), HEADER_VALUES
    )
)
def test_any_headers_without_the_secret(headers: dict[str, str]) -> None:
    body = body_of("no matter")
    assert status_of(body, headers) == 401


@MANY
@given(name=st.text(min_size=1), version=st.text())
def test_any_name_and_version_of_an_upload(name: str, version: str) -> None:
    body = body_of("00000000-0000-4000-8000-000000000000", version=version, name=name)
    assert status_of(body, signed(body)) in {202, 400, 413}
