"""Every answer of the webhook, with the queue of uploads on real parts behind it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.integration.harness import Harness
from tests.integration.interrupter import Interrupter
from tests.integration.uploads import (
    RECORDING,
    intake_of,
    numbered,
    object_of,
    overwrite,
    register,
    sessions,
    settings_of,
    sweep_of,
    version_of,
)
from tests.integration.webhooks import OTHER_SECRET, SECRET, Endpoint, body_of, signed
from worker.backend.connection import connect
from worker.intake.factory import make_intake


@pytest.fixture
async def body(harness: Harness) -> bytes:
    """The webhook of an upload that waits to be taken in."""
    return body_of(await object_of(harness, await harness.upload(RECORDING)))


async def test_202_as_soon_as_the_upload_is_noted(harness: Harness, body: bytes) -> None:
    endpoint = Endpoint(intake_of(harness).queue)
    answer = await endpoint.post(body)
    assert (answer.status_code, answer.json()) == (202, {"outcome": "waiting"})
    assert endpoint.woken == 1
    assert await sessions(harness) == []
    assert [row[1] for row in await register(harness)] == ["waiting"]
    assert await sweep_of(harness).sweep() == 1


async def test_202_with_what_became_of_an_upload_that_was_taken_in(
    harness: Harness, body: bytes
) -> None:
    endpoint = Endpoint(intake_of(harness).queue)
    await sweep_of(harness).sweep()
    answer = await endpoint.post(body)
    assert (answer.status_code, answer.json()) == (202, {"outcome": "session"})
    assert len(await sessions(harness)) == 1


async def test_twenty_webhooks_for_one_object_at_once_make_one_session(
    harness: Harness, body: bytes
) -> None:
    endpoint = Endpoint(intake_of(harness).queue)
    answers = await asyncio.gather(*(endpoint.post(body) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert await sweep_of(harness).sweep() == 1
    assert len(await sessions(harness)) == 1


async def test_an_overwrite_is_a_new_session(harness: Harness, body: bytes) -> None:
    endpoint = Endpoint(intake_of(harness).queue)
    await endpoint.post(body)
    await sweep_of(harness).sweep()
    path = (await sessions(harness))[0]["file_path"]
    old_version = await version_of(harness, path)
    await overwrite(harness, path, numbered(1))
    object_id, version = await object_of(harness, path), await version_of(harness, path)
    update = json.loads(body_of(object_id, version, kind="UPDATE"))
    update["old_record"] = {**update["record"], "version": old_version}
    answer = await endpoint.post(json.dumps(update).encode())
    assert (answer.status_code, answer.json()) == (202, {"outcome": "waiting"})
    await sweep_of(harness).sweep()
    assert len(await sessions(harness)) == 2


@pytest.mark.parametrize(
    "others",
    [
        {"bucket_id": "avatars"},
        {"name": "P005/notes.txt"},
        {"name": "P005/c3d"},
    ],
    ids=str,
)
async def test_202_for_what_is_not_a_recording_of_this_bucket(
    harness: Harness, others: dict[str, str]
) -> None:
    endpoint = Endpoint(intake_of(harness).queue)
    answer = await endpoint.post(body_of(uuid4(), **others))
    assert (answer.status_code, answer.json()) == (202, {"outcome": "ignored"})
    assert await register(harness) == []


async def test_202_for_a_change_that_is_no_upload(harness: Harness, body: bytes) -> None:
    endpoint = Endpoint(intake_of(harness).queue)
    renamed = json.loads(body)
    renamed |= {"type": "UPDATE", "old_record": renamed["record"]}
    answers = [
        await endpoint.post(json.dumps(renamed).encode()),
        await endpoint.post(json.dumps(renamed | {"type": "DELETE", "record": None}).encode()),
        await endpoint.post(body_of(uuid4())),  # gone before anybody looked
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert await register(harness) == []


async def test_202_while_another_worker_is_taking_it_in(harness: Harness, body: bytes) -> None:
    queue = intake_of(harness).queue
    object_id = UUID(json.loads(body)["record"]["id"])
    await queue.announce(object_id)
    assert await queue.claim_one(object_id)
    answer = await Endpoint(queue).post(body)
    assert (answer.status_code, answer.json()) == (202, {"outcome": "taking"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"type": "INSERT"}',
        b"[" * 60_000,
        b"1" * 60_000,
        body_of("no uuid"),
        body_of(uuid4(), version=5),  # type: ignore[arg-type] # that is the point
        body_of(uuid4(), version="v" * 1000),
        body_of(uuid4(), name=None),
        body_of(uuid4(), bucket_id=["c3d-files"]),
        body_of(uuid4(), kind="TRUNCATE"),
        body_of(uuid4()).replace(b'"storage"', b'"public"'),
        body_of(uuid4()).replace(b'"record"', b'"recording"'),
    ],
    ids=lambda body: str(body[:40]),
)
async def test_400_with_a_sentence_for_a_malformed_body(harness: Harness, body: bytes) -> None:
    headers = {"x-webhook-secret": SECRET}  # some of them could not even be signed
    answer = await Endpoint(intake_of(harness).queue).post(body, headers)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")


async def test_413_for_more_than_64_kb(harness: Harness) -> None:
    endpoint = Endpoint(intake_of(harness).queue)
    most = body_of(uuid4(), bucket_id="another", user_metadata="x" * 65_000)
    assert (await endpoint.post(most + b" " * (65_536 - len(most)))).status_code == 202
    assert (await endpoint.post(most + b" " * (65_537 - len(most)))).status_code == 413
    assert (await endpoint.post(b"x" * 65_537, {})).status_code == 413


async def test_503_when_supabase_is_unreachable_and_nothing_is_lost(
    harness: Harness, body: bytes
) -> None:
    async with Interrupter(harness.stack).serve() as line:
        away = settings_of(line.stack)
        async with connect(away) as connection:
            endpoint = Endpoint(make_intake(connection, away).queue)
            headers = signed(body)
            line.cut()
            answer = await endpoint.post(body, headers)
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert harness.stack.secret_key not in answer.text
            assert await register(harness) == []
            line.mend()
            assert (await endpoint.post(body, headers)).status_code == 202  # the very same, later


async def test_401_and_no_work_done_without_proof_of_the_sender(
    harness: Harness, body: bytes
) -> None:
    endpoint = Endpoint(intake_of(harness).queue)
    good = signed(body)
    now = datetime.now(UTC)
    forged: list[dict[str, str]] = [
        {},
        {"x-webhook-secret": ""},
        {"x-webhook-secret": OTHER_SECRET},
        {"x-webhook-secret": SECRET + "="},
        {"webhook-signature": ""},
        signed(body, secret=OTHER_SECRET),
        signed(body + b" "),  # the body was tampered with
        {**good, "webhook-id": "msg_another"},
        {**good, "webhook-timestamp": str(int(good["webhook-timestamp"]) + 1)},
        {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v2,")},
        {**good, "x-webhook-secret": SECRET, "webhook-signature": "v1,AAAA"},
        signed(body, at=now - timedelta(minutes=5, seconds=5)),
        signed(body, at=now + timedelta(minutes=5, seconds=5)),
        *(
            {**good, "webhook-timestamp": text}
            for text in ("", "soon", "nan", "inf", "-1", "1e400", "9" * 40)
        ),
        *(
            {**good, "webhook-signature": text}
            for text in ("v1", "v1,", "v1,a", "v1,a,b", "v1,\xe9", ",", " ", "v1a," + "A" * 5000)
        ),
    ]
    for headers in forged:
        as_sent = {name: value.encode("latin-1") for name, value in headers.items()}
        answer = await endpoint.post(body, as_sent)  # type: ignore[arg-type] # httpx takes bytes too
        assert answer.status_code == 401, headers
        assert SECRET not in answer.text
    assert (await register(harness), endpoint.woken) == ([], 0)
    assert (await endpoint.post(body, good)).status_code == 202


async def test_401_for_a_replay_of_what_was_accepted(harness: Harness, body: bytes) -> None:
    endpoint = Endpoint(intake_of(harness).queue)
    headers = signed(body)
    replays = [
        headers,
        {**headers, "webhook-timestamp": headers["webhook-timestamp"] + ".0"},
        {**headers, "webhook-signature": headers["webhook-signature"] + " v1,AAAA"},
    ]
    assert (await endpoint.post(body, headers)).status_code == 202
    assert [(await endpoint.post(body, replay)).status_code for replay in replays] == [401] * 3


async def test_the_secret_in_a_header_is_enough_for_the_dashboards_webhooks(
    harness: Harness, body: bytes
) -> None:
    endpoint = Endpoint(intake_of(harness).queue)
    assert (await endpoint.post(body, {"x-webhook-secret": SECRET})).status_code == 202
