"""Every answer of the webhook, with intake on real parts behind it."""

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
)
from tests.integration.webhooks import OTHER_SECRET, SECRET, Endpoint, body_of, signed
from worker.backend.connection import connect
from worker.backend.intake_register import IntakeResult
from worker.intake.factory import make_intake
from worker.settings import DEFAULT_BUCKET


@pytest.fixture
async def body(harness: Harness) -> bytes:
    """The webhook of an upload that waits to be taken in."""
    return body_of(*await object_of(harness, await harness.upload(RECORDING)))


async def test_201_with_the_id_of_the_new_session(harness: Harness, body: bytes) -> None:
    answer = await Endpoint(intake_of(harness)).post(body)
    (session,) = await sessions(harness)
    assert answer.status_code == 201
    assert answer.json() == {"outcome": "session", "session_id": str(session["id"])}


async def test_200_with_the_id_of_the_session_that_is_there(harness: Harness, body: bytes) -> None:
    endpoint = Endpoint(intake_of(harness))
    await endpoint.post(body)
    again = await endpoint.post(body)
    copy = await object_of(harness, await harness.upload(RECORDING, "P005/copy.c3d"))
    copied = await endpoint.post(body_of(*copy))
    (session,) = await sessions(harness)
    assert [again.status_code, copied.status_code] == [200, 200]
    told = {"outcome": "duplicate", "session_id": str(session["id"])}
    assert [again.json(), copied.json()] == [told, told]
    assert endpoint.woken == 0


async def test_twenty_webhooks_for_one_object_at_once_make_one_session(
    harness: Harness, body: bytes
) -> None:
    endpoint = Endpoint(intake_of(harness))
    answers = await asyncio.gather(*(endpoint.post(body) for _ in range(20)))
    (session,) = await sessions(harness)
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert {answer.json()["session_id"] for answer in answers} == {str(session["id"])}


async def test_an_overwrite_is_a_new_session(harness: Harness, body: bytes) -> None:
    endpoint = Endpoint(intake_of(harness))
    first = await endpoint.post(body)
    path = (await sessions(harness))[0]["file_path"]
    _, old_version = await object_of(harness, path)
    await overwrite(harness, path, numbered(1))
    update = json.loads(body_of(*await object_of(harness, path), kind="UPDATE"))
    update["old_record"] = {**update["record"], "version": old_version}
    second = await endpoint.post(json.dumps(update).encode())
    assert [first.status_code, second.status_code] == [201, 201]
    assert first.json()["session_id"] != second.json()["session_id"]


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
    endpoint = Endpoint(intake_of(harness))
    answer = await endpoint.post(body_of(uuid4(), **others))
    assert (answer.status_code, answer.json()) == (202, {"outcome": "ignored"})
    assert await register(harness) == []


async def test_202_for_a_change_that_is_not_an_upload(harness: Harness, body: bytes) -> None:
    endpoint = Endpoint(intake_of(harness))
    renamed = json.loads(body)
    renamed |= {"type": "UPDATE", "old_record": renamed["record"]}
    answers = [
        await endpoint.post(json.dumps(renamed).encode()),
        await endpoint.post(json.dumps(renamed | {"type": "DELETE", "record": None}).encode()),
        await endpoint.post(body_of(uuid4())),  # gone before anybody looked
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert await register(harness) == []


async def test_202_and_a_code_for_an_upload_that_can_have_no_session(harness: Harness) -> None:
    await harness.database.execute(
        "insert into storage.objects (bucket_id, name, version) values ($1, 'P9/secret.c3d', '1')",
        DEFAULT_BUCKET,
    )
    answer = await Endpoint(intake_of(harness)).post(
        body_of(*await object_of(harness, "P9/secret.c3d"))
    )
    assert answer.status_code == 202
    assert answer.json() == {"outcome": "refused", "code": "object_missing"}


async def test_202_while_another_worker_has_claimed_it(harness: Harness, body: bytes) -> None:
    object_id = UUID(json.loads(body)["record"]["id"])
    other = intake_of(harness)
    claimed = await other.register.claim_one(object_id)
    assert claimed is not None
    answer = await Endpoint(intake_of(harness)).post(body)
    assert (answer.status_code, answer.json()) == (202, {"outcome": "taking"})
    await other.register.release(claimed)
    assert (await Endpoint(intake_of(harness)).post(body)).status_code == 201


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
    answer = await Endpoint(intake_of(harness)).post(body, headers)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")


async def test_413_for_more_than_64_kb(harness: Harness) -> None:
    endpoint = Endpoint(intake_of(harness))
    most = body_of(uuid4(), bucket_id="another", user_metadata="x" * 65_000)
    assert (await endpoint.post(most + b" " * (65_536 - len(most)))).status_code == 202
    assert (await endpoint.post(most + b" " * (65_537 - len(most)))).status_code == 413
    assert (await endpoint.post(b"x" * 65_537, {})).status_code == 413


class Busy:
    """An intake that is not done before it is told so."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.entered = 0

    async def announced(self, object_id: UUID, version: str) -> IntakeResult | None:
        _ = object_id, version
        self.entered += 1
        await self.done.wait()
        return None


async def test_429_beyond_the_limit_and_the_sweep_is_woken() -> None:
    busy = Busy()
    endpoint = Endpoint(busy, max_concurrent=2)
    waiting = [asyncio.create_task(endpoint.post(body_of(uuid4()))) for _ in range(2)]
    while busy.entered < 2:
        await asyncio.sleep(0.01)
    message = body_of(uuid4())
    headers = signed(message)
    answer = await endpoint.post(message, headers)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert endpoint.woken == 1
    busy.done.set()
    assert [(await task).status_code for task in waiting] == [202, 202]
    assert (await endpoint.post(message, headers)).status_code == 202  # the very same, later


async def test_503_when_supabase_is_unreachable_and_nothing_is_lost(
    harness: Harness, body: bytes
) -> None:
    async with Interrupter(harness.stack).serve() as line:
        away = settings_of(line.stack)
        async with connect(away) as connection:
            endpoint = Endpoint(make_intake(connection, away))
            line.cut()
            answer = await endpoint.post(body)
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert endpoint.woken == 1
            assert harness.stack.secret_key not in answer.text
            assert await register(harness) == []
            line.mend()
            assert (await endpoint.post(body)).status_code == 201


async def test_401_and_no_work_done_without_proof_of_the_sender(
    harness: Harness, body: bytes
) -> None:
    endpoint = Endpoint(intake_of(harness))
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
    assert (await endpoint.post(body, good)).status_code == 201


async def test_401_for_a_replay_of_what_was_accepted(harness: Harness, body: bytes) -> None:
    endpoint = Endpoint(intake_of(harness))
    headers = signed(body)
    replays = [
        headers,
        {**headers, "webhook-timestamp": headers["webhook-timestamp"] + ".0"},
        {**headers, "webhook-signature": headers["webhook-signature"] + " v1,AAAA"},
    ]
    assert (await endpoint.post(body, headers)).status_code == 201
    assert [(await endpoint.post(body, replay)).status_code for replay in replays] == [401] * 3


async def test_the_secret_in_a_header_is_enough_for_the_dashboards_webhooks(
    harness: Harness, body: bytes
) -> None:
    endpoint = Endpoint(intake_of(harness))
    assert (await endpoint.post(body, {"x-webhook-secret": SECRET})).status_code == 201
