"""An upload that cannot be taken in holds up no other one, and is not downloaded for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pytest_mock import MockerFixture

from tests.faults.proxy import OBJECTS, Proxy
from tests.faults.rules import say
from tests.integration.clinic import Clinic
from tests.integration.uploads import (
    empty_clinic,
    intake_of,
    numbered,
    object_of,
    register,
    sessions,
    settings_of,
    sweep_of,
    wait_over,
)
from worker.backend.intake_register import IntakeRegister
from worker.backend.object_store import Measured, ObjectStore
from worker.errors import SizeMismatchError, UnavailableError, UnexpectedError
from worker.intake.bucket_sweep import MOST_IN_A_ROW
from worker.intake.factory import make_intake, make_sweep
from worker.intake.intake import PATIENCE
from worker.local.migrated import connected
from worker.local.stack import StackInfo

UNREADABLE = 3


@pytest.fixture
async def clinic(migrated_stack: StackInfo) -> AsyncIterator[Clinic]:
    async with empty_clinic(migrated_stack) as opened:
        yield opened


async def test_objects_that_storage_cannot_read_hold_up_none_behind_them(clinic: Clinic) -> None:
    for number in range(UNREADABLE):
        await clinic.upload(numbered(number), f"P001/a{number}.c3d")
    await clinic.upload(numbered(9), "P001/b.c3d")
    async with Proxy(clinic.stack).serve() as proxy, connected(proxy.stack) as connection:
        settings = settings_of(proxy.stack, concurrency=1)
        sweep = make_sweep(make_intake(connection, settings), settings)
        with proxy.trouble(f"{OBJECTS}P001/a", say(500, '{"message": "x"}')):
            with pytest.raises(UnavailableError):
                await sweep.sweep()
            assert [session["file_path"] for session in await sessions(clinic)] == ["P001/b.c3d"]
        assert await sweep.sweep() == UNREADABLE


async def test_storage_in_trouble_ends_a_pass_and_the_next_goes_on_behind(clinic: Clinic) -> None:
    for number in range(MOST_IN_A_ROW + 1):
        await clinic.upload(numbered(number), f"P001/a{number}.c3d")
    async with Proxy(clinic.stack).serve() as proxy, connected(proxy.stack) as connection:
        settings = settings_of(proxy.stack, concurrency=1)
        sweep = make_sweep(make_intake(connection, settings), settings)
        with proxy.trouble(OBJECTS, say(503)) as rule:
            with pytest.raises(UnavailableError):
                await sweep.sweep()
            assert rule.hits == MOST_IN_A_ROW
        assert await sweep.sweep() == 1
        assert await sweep.sweep() == MOST_IN_A_ROW


async def test_an_error_of_the_workers_own_is_refused_in_the_end(
    clinic: Clinic, mocker: MockerFixture
) -> None:
    await clinic.upload(numbered(1), "P001/a.c3d")
    await clinic.upload(numbered(2), "P001/b.c3d")
    measure = ObjectStore.measure

    async def broken(store: ObjectStore, path: str, **others: Any) -> Measured:
        if path == "P001/a.c3d":
            raise KeyError(path)
        return await measure(store, path, **others)

    mocker.patch.object(ObjectStore, "measure", broken)
    sweep = sweep_of(clinic)
    for _ in range(PATIENCE - 1):
        with pytest.raises(UnexpectedError):
            await sweep.sweep()
        await wait_over(clinic)
    assert [session["file_path"] for session in await sessions(clinic)] == ["P001/b.c3d"]
    await sweep.sweep()
    outcomes = {path: outcome for path, outcome, _ in await register(clinic)}
    assert outcomes == {"P001/a.c3d": "refused", "P001/b.c3d": "session"}
    detail = await clinic.database.fetchval(
        "select detail from public.storage_intake where outcome = 'refused'"
    )
    assert detail.startswith("unexpected: The worker failed on P001/a.c3d (KeyError).")
    assert "upload the file again" in detail


async def test_seconds_of_a_wrong_answer_refuse_no_upload(clinic: Clinic) -> None:
    path = await clinic.upload(numbered(1), "P001/a.c3d")
    object_id, version = await object_of(clinic, path)
    async with Proxy(clinic.stack).serve() as proxy, connected(proxy.stack) as connection:
        settings = settings_of(proxy.stack)
        intake = make_intake(connection, settings)
        sweep = make_sweep(intake, settings)
        with proxy.trouble(OBJECTS, say(200)) as rule:
            with pytest.raises(SizeMismatchError):
                await intake.announced(object_id, version)
            for _ in range(2 * PATIENCE):
                assert await sweep.sweep() == 0  # put off for all
            assert rule.hits == 1
        await wait_over(clinic)
        assert await sweep.sweep() == 1
    assert [outcome for _, outcome, _ in await register(clinic)] == ["session"]


async def test_an_error_that_was_met_once_costs_nothing(
    clinic: Clinic, mocker: MockerFixture
) -> None:
    path = await clinic.upload(numbered(1), "P001/a.c3d")
    intake = intake_of(clinic)
    claimed = await intake.register.claim("")
    assert claimed is not None
    mocker.patch.object(ObjectStore, "measure", side_effect=KeyError(path))
    with pytest.raises(UnexpectedError):
        await intake.take(claimed)
    mocker.stopall()
    await wait_over(clinic)
    assert await sweep_of(clinic).sweep() == 1


async def test_whatever_an_answer_is_it_ends_no_worker(
    clinic: Clinic, mocker: MockerFixture
) -> None:
    await clinic.upload(numbered(1), "P001/a.c3d")
    sweep = sweep_of(clinic)
    for method in ("claim", "record"):
        mocker.patch.object(IntakeRegister, method, side_effect=KeyError("object_id"))
        with pytest.raises(UnavailableError, match="KeyError"):
            await sweep.sweep()
        mocker.stopall()
        assert await register(clinic) == []
    assert await sweep.sweep() == 1
