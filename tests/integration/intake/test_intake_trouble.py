"""An upload that cannot be taken in delays no other, and is not downloaded for ever."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_mock import MockerFixture
from worker.backend.intake_register import IntakeRegister

from tests.faults.proxy import OBJECTS, Proxy
from tests.faults.rules import say
from tests.integration.harness import Harness
from tests.integration.uploads import (
    intake_of,
    numbered,
    object_of,
    register,
    sessions,
    settings_of,
    sweep_of,
    wait_over,
)
from worker.backend.object_store import ObjectDigest, ObjectStore
from worker.errors import SizeMismatchError, UnavailableError, UnexpectedError
from worker.intake.bucket_sweep import MAX_IN_A_ROW
from worker.intake.factory import make_intake, make_sweep
from worker.intake.intake import MAX_TROUBLED_ATTEMPTS
from worker.local.migrated import connected

UNREADABLE = 3


async def test_objects_that_storage_cannot_read_delay_none_behind_them(harness: Harness) -> None:
    for number in range(UNREADABLE):
        await harness.upload(numbered(number), f"P001/a{number}.c3d")
    await harness.upload(numbered(9), "P001/b.c3d")
    async with Proxy(harness.stack).serve() as proxy, connected(proxy.stack) as connection:
        settings = settings_of(proxy.stack, concurrency=1)
        sweep = make_sweep(make_intake(connection, settings), settings)
        with proxy.trouble(f"{OBJECTS}P001/a", say(500, '{"message": "x"}')):
            with pytest.raises(UnavailableError):
                await sweep.sweep()
            assert [session["file_path"] for session in await sessions(harness)] == ["P001/b.c3d"]
        assert await sweep.sweep() == UNREADABLE


async def test_storage_in_trouble_ends_a_pass_and_the_next_goes_on_behind(harness: Harness) -> None:
    for number in range(MAX_IN_A_ROW + 1):
        await harness.upload(numbered(number), f"P001/a{number}.c3d")
    async with Proxy(harness.stack).serve() as proxy, connected(proxy.stack) as connection:
        settings = settings_of(proxy.stack, concurrency=1)
        sweep = make_sweep(make_intake(connection, settings), settings)
        with proxy.trouble(OBJECTS, say(503)) as rule:
            with pytest.raises(UnavailableError):
                await sweep.sweep()
            assert rule.hits == MAX_IN_A_ROW
        assert await sweep.sweep() == 1
        assert await sweep.sweep() == MAX_IN_A_ROW


async def test_an_error_of_the_workers_own_is_refused_in_the_end(
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
    for _ in range(MAX_TROUBLED_ATTEMPTS - 1):
        with pytest.raises(UnexpectedError):
            await sweep.sweep()
        await wait_over(harness)
    assert [session["file_path"] for session in await sessions(harness)] == ["P001/b.c3d"]
    await sweep.sweep()
    outcomes = {path: outcome for path, outcome, _ in await register(harness)}
    assert outcomes == {"P001/a.c3d": "refused", "P001/b.c3d": "session"}
    detail = await harness.database.fetchval(
        "select detail from public.storage_intake where outcome = 'refused'"
    )
    assert detail.startswith("unexpected: The worker failed on P001/a.c3d (KeyError).")
    assert "upload the file again" in detail


async def test_seconds_of_a_wrong_answer_refuse_no_upload(harness: Harness) -> None:
    path = await harness.upload(numbered(1), "P001/a.c3d")
    object_id, version = await object_of(harness, path)
    async with Proxy(harness.stack).serve() as proxy, connected(proxy.stack) as connection:
        settings = settings_of(proxy.stack)
        intake = make_intake(connection, settings)
        sweep = make_sweep(intake, settings)
        with proxy.trouble(OBJECTS, say(200)) as rule:
            with pytest.raises(SizeMismatchError):
                await intake.announced(object_id, version)
            for _ in range(2 * MAX_TROUBLED_ATTEMPTS):
                assert await sweep.sweep() == 0  # put off for all
            assert rule.hits == 1
        await wait_over(harness)
        assert await sweep.sweep() == 1
    assert [outcome for _, outcome, _ in await register(harness)] == ["session"]


async def test_an_error_that_was_met_once_costs_nothing(
    harness: Harness, mocker: MockerFixture
) -> None:
    path = await harness.upload(numbered(1), "P001/a.c3d")
    intake = intake_of(harness)
    claimed = await intake.register.claim("")
    assert claimed is not None
    mocker.patch.object(ObjectStore, "measure", side_effect=KeyError(path))
    with pytest.raises(UnexpectedError):
        await intake.take(claimed)
    mocker.stopall()
    await wait_over(harness)
    assert await sweep_of(harness).sweep() == 1


async def test_whatever_an_answer_is_it_ends_no_worker(
    harness: Harness, mocker: MockerFixture
) -> None:
    await harness.upload(numbered(1), "P001/a.c3d")
    sweep = sweep_of(harness)
    for method in ("claim", "record"):
        mocker.patch.object(IntakeRegister, method, side_effect=KeyError("object_id"))
        with pytest.raises(UnavailableError, match="KeyError"):
            await sweep.sweep()
        mocker.stopall()
        assert await register(harness) == []
    assert await sweep.sweep() == 1
