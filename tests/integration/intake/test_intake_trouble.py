"""An upload that cannot be taken in waits with its reason, and holds up no other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from tests.faults.proxy import OBJECTS, Proxy
from tests.faults.rules import say
from tests.integration.harness import Harness
from tests.integration.uploads import (
    RECORDING,
    behind,
    details,
    numbered,
    object_of,
    object_without_bytes,
    register,
    sessions,
    sweep_of,
    wait_over,
)
from worker.backend.object_store import ObjectDigest, ObjectStore
from worker.backend.queued_uploads import Outcome
from worker.errors import UnavailableError
from worker.intake.intake import MAX_SIZE_ATTEMPTS

UPLOADS = 4
NO_OBJECT = '{"statusCode": "404", "error": "not_found", "message": "Object not found"}'
# What Storage says of itself, with the status that it gives to an object's own faults.
TROUBLES = {
    "an unknown tenant": (400, "400", "TenantNotFound", "Missing tenant config for abcdefgh"),
    "an unknown tenant, as 404": (400, "404", "TenantNotFound", "Missing tenant config for abcd"),
    "an internal error": (400, "500", "InternalError", "Internal Server Error"),
    "an internal error, as 400": (400, "400", "InternalError", "Internal Server Error"),
    "a refused JWT": (400, "400", "InvalidJWT", "jwt malformed"),
    "a refused JWT, as 403": (400, "403", "Unauthorized", "invalid signature"),
    "something unheard of": (400, "400", "SomethingNew", "Something new"),
    "a status unheard of": (418, "418", "Teapot", "I am a teapot"),
    "an overload": (503, "503", "SlowDown", "Please reduce your request rate"),
}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.queueing.claim_loop.INITIAL_PAUSE", 0.05)


@pytest.fixture(params=list(TROUBLES.values()), ids=list(TROUBLES))
def answer(request: pytest.FixtureRequest) -> tuple[int, str]:
    """An answer of Storage that is no object's fault: status and body."""
    status, said, code, message = request.param
    return status, json.dumps({"statusCode": said, "error": code, "message": message})


# --- Storage's own trouble ----------------------------------------------------------------------


async def test_trouble_for_all_refuses_nothing_and_is_over_when_it_is_over(
    harness: Harness, answer: tuple[int, str]
) -> None:
    paths = [await harness.upload(numbered(number)) for number in range(UPLOADS)]
    async with behind(harness) as (proxy, sweep):
        with proxy.trouble(OBJECTS, say(*answer)), pytest.raises(UnavailableError):
            await sweep.sweep()
        assert {row[1] for row in await register(harness)} == {"waiting"}
        assert await sessions(harness) == []
        assert await sweep.sweep() == UPLOADS
    assert {row["file_path"] for row in await sessions(harness)} == set(paths)


async def test_trouble_for_one_holds_up_no_other_and_heals(
    harness: Harness, answer: tuple[int, str]
) -> None:
    await harness.upload(numbered(0), "P001/odd.c3d")
    await sweep_of(harness).announce()
    for number in range(1, UPLOADS):
        await harness.upload(numbered(number), f"P001/{number}.c3d")
    async with behind(harness, concurrency=1) as (proxy, sweep):
        with proxy.trouble(f"{OBJECTS}P001/odd", say(*answer)):
            assert await sweep.sweep() == UPLOADS - 1
            outcomes = {path: outcome for path, outcome, _ in await register(harness)}
            assert outcomes.pop("P001/odd.c3d") == "waiting"
            assert set(outcomes.values()) == {"session"}
            told = str((await details(harness))["P001/odd.c3d"])
            assert told.startswith(("supabase_unavailable: ", "key_refused: "))
            assert "tenant config" not in told  # what Storage says may name a file
            assert await sweep.sweep() == 0  # put off
        await wait_over(harness)
        assert await sweep.sweep() == 1


async def test_seconds_of_storages_400_cost_a_running_worker_nothing(
    harness: Harness, tmp_path: Path
) -> None:
    body = json.dumps({"statusCode": "400", "error": "InternalError", "message": "Internal"})
    async with Proxy(harness.stack).serve() as proxy:
        there = replace(harness, stack=proxy.stack)
        with proxy.trouble(OBJECTS, say(400, body)):
            for number in range(UPLOADS):
                await harness.upload(numbered(number))
            async with there.worker(tmp_path, BUCKET_SWEEP_SECONDS="1", POLL_SECONDS="1") as worker:
                for _ in range(2):
                    await worker.until("claiming_paused")
        async with there.worker(tmp_path, BUCKET_SWEEP_SECONDS="1", POLL_SECONDS="1") as worker:
            for _ in range(UPLOADS):
                assert (await worker.until("session_done"))["outcome"] == "completed"
    assert {row[1] for row in await register(harness)} == {"session"}
    assert await harness.counts() == {"completed": UPLOADS}


# --- an object's own fault, or what looks like it -------------------------------------------------


async def test_an_error_of_the_workers_own_waits_and_is_over_when_it_is_cured(
    harness: Harness, mocker: MockerFixture
) -> None:
    await harness.upload(numbered(1), "P001/a.c3d")
    await harness.upload(numbered(2), "P001/b.c3d")
    measure = ObjectStore.measure

    async def broken(store: ObjectStore, path: str, **others: Any) -> ObjectDigest:
        if path == "P001/a.c3d":
            raise KeyError(path)
        return await measure(store, path, **others)

    mocker.patch.object(ObjectStore, "measure", broken)
    sweep = sweep_of(harness)
    for _ in range(MAX_SIZE_ATTEMPTS + 2):
        await sweep.sweep()
        await wait_over(harness)
    outcomes = {path: outcome for path, outcome, _ in await register(harness)}
    assert outcomes == {"P001/a.c3d": "waiting", "P001/b.c3d": "session"}
    told = str((await details(harness))["P001/a.c3d"])
    assert told.startswith("unexpected: The worker failed on P001/a.c3d (KeyError).")
    assert "attempted again by itself" in told
    mocker.stopall()
    assert await sweep.sweep() == 1


async def test_seconds_of_a_wrong_answer_refuse_no_upload(harness: Harness) -> None:
    path = await harness.upload(numbered(1), "P001/a.c3d")
    async with behind(harness) as (proxy, sweep):
        with proxy.trouble(OBJECTS, say(200)) as rule:
            taken = await sweep.intake.take_now(await object_of(harness, path))
            assert taken is not None
            assert taken.outcome is Outcome.WAITING
            assert str(taken.detail).startswith("size_mismatch: ")
            for _ in range(2 * MAX_SIZE_ATTEMPTS):
                assert await sweep.sweep() == 0  # put off for all
            assert rule.hits == 1
        await wait_over(harness)
        assert await sweep.sweep() == 1
    assert [outcome for _, outcome, _ in await register(harness)] == ["session"]


async def test_an_object_of_another_size_is_refused_after_ten_attempts(harness: Harness) -> None:
    path = await harness.upload(RECORDING)
    await harness.database.execute(
        """update storage.objects set metadata = metadata || '{"size": 10}'"""
    )
    sweep = sweep_of(harness)
    for attempt in range(1, MAX_SIZE_ATTEMPTS + 1):
        assert [row[1] for row in await register(harness)] == ["waiting"] * (attempt > 1)
        await sweep.sweep()
        await wait_over(harness)
    assert await register(harness) == [(path, "refused", None)]
    assert str((await details(harness))[path]).startswith("size_mismatch: ")


async def test_only_attempts_for_the_same_reason_are_counted(harness: Harness) -> None:
    path = await harness.upload(RECORDING)
    await harness.database.execute(
        "update storage.objects set name = 'P005/away.c3d' where name = $1", path
    )
    sweep = sweep_of(harness)
    for _ in range(MAX_SIZE_ATTEMPTS + 2):  # its bytes are not where the row says
        await sweep.sweep()
        await wait_over(harness)
    assert [row[1] for row in await register(harness)] == ["waiting"]
    await harness.database.execute(
        "update storage_intake set object_path = $1, size_bytes = 10", path
    )
    await harness.database.execute("update storage.objects set name = $1", path)
    await sweep.sweep()
    found = await harness.database.fetchrow("select * from storage_intake")
    assert found is not None
    assert (found["outcome"], found["attempts"]) == ("waiting", 1)
    assert found["detail"].startswith("size_mismatch: ")


@pytest.mark.parametrize(
    "path", ["P001/a\nb.c3d", "P001/" + 20_000 * "a" + ".c3d", "P001//../a.c3d"], ids=len
)
async def test_a_path_that_no_object_can_have_is_refused_alone(harness: Harness, path: str) -> None:
    await object_without_bytes(harness, path)
    await harness.upload(RECORDING, "P002/a.c3d")
    assert await sweep_of(harness).sweep() == 2  # without a pause
    outcomes = {found: outcome for found, outcome, _ in await register(harness)}
    assert outcomes == {path: "refused", "P002/a.c3d": "session"}
    told = str((await details(harness))[path])
    assert told.startswith("object_refused: ")
    assert "cannot be the path of an object. Upload the file again under a name of" in told
    assert len(told) < 2000


@pytest.mark.parametrize("path", ["P005//a.c3d", "P005/a\u00a0b.c3d"], ids=["//", "no-break"])
async def test_whether_an_unusual_path_can_be_is_for_storage_to_say(
    harness: Harness, path: str
) -> None:
    await object_without_bytes(harness, path)
    async with behind(harness) as (proxy, sweep):
        invalid = say(400, '{"statusCode": "400", "error": "InvalidKey", "message": "Invalid key"}')
        with proxy.trouble(OBJECTS, say(404, NO_OBJECT)) as asked:
            assert await sweep.sweep() == 0
            assert asked.hits == 1
        assert str((await details(harness))[path]).startswith("object_missing: ")
        await wait_over(harness)
        with proxy.trouble(OBJECTS, invalid):
            assert await sweep.sweep() == 1
    assert await register(harness) == [(path, "refused", None)]
    assert "Invalid key" in str((await details(harness))[path])


@pytest.mark.parametrize("size", ["-2147483648", "1e30", "-1e400", '"many"', '"10"', "{}", "true"])
async def test_a_size_that_no_object_can_have_is_measured(harness: Harness, size: str) -> None:
    await harness.upload(RECORDING)
    await harness.upload(numbered(1))
    await harness.database.execute(
        "update storage.objects set metadata = jsonb_build_object('size', $1::jsonb)", size
    )
    assert await sweep_of(harness).sweep() == 2
    assert {row["file_size_bytes"] for row in await sessions(harness)} == {len(RECORDING)}
