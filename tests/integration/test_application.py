"""The application that uploads adopts the worker: what it had is read, and it goes on as before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.application.adopting import Adopted, adopting, apply_page
from tests.integration.application.shapes import BUCKET, FIRST, MIGRATABLE, NEWEST, Shape, Upload
from tests.integration.checking import found_in
from worker.check.findings import Check, Finding, Verdict
from worker.local.packages import Packages

NEW = [Upload(number) for number in range(20, 24)]  # uploaded after the migration
UNSESSIONED = "select count(*) from public.storage_intake where outcome in ('waiting', 'taking')"


@pytest_asyncio.fixture
async def adopted(shape: Shape, tmp_path: Path, packages: Packages) -> AsyncIterator[Adopted]:
    """The application's project, with its objects, migrated."""
    async with adopting(shape, tmp_path) as found:
        await found.upload(shape.uploads)
        await found.migrate(packages)
        yield found


async def until_all_is_read(adopted: Adopted) -> None:
    """Wait until no session is pending, and every upload has one."""
    async with asyncio.timeout(40.0):
        while (
            {row["processing_status"] for row in (await adopted.sessions()).values()}
            & {"pending", "processing"}
            or not await adopted.uploads()
            or await adopted.harness.database.fetchval(UNSESSIONED)
        ):
            await asyncio.sleep(0.1)


async def until_all_wait_for(adopted: Adopted, column: str) -> None:
    """Wait until a new upload says that it waits for a column."""
    waiting = f"select count(*) from storage_intake where detail like 'schema_refuses:%{column}%'"
    async with asyncio.timeout(40.0):
        while not await adopted.harness.database.fetchval(waiting):
            await asyncio.sleep(0.1)


async def trial_of(adopted: Adopted) -> Finding:
    """Check, and return what was found when a session was tried."""
    async with asyncio.timeout(10.0):  # PostgREST may still read its schema
        while True:
            (trial,) = (await found_in(adopted.stack, c3d_bucket=BUCKET))[Check.TRIAL]
            if trial.verdict is not Verdict.UNCHECKED:
                return trial


@pytest.mark.parametrize("shape", MIGRATABLE, ids=lambda shape: shape.name)
async def test_every_session_whose_object_is_there_is_read(adopted: Adopted) -> None:
    uploads = adopted.shape.uploads
    had_values = {
        row["file_path"].removeprefix(f"{BUCKET}/")
        for row in await adopted.harness.database.fetch(
            "select file_path from therapy_sessions join c3d_technical_data on session_id = id"
        )
    }
    await adopted.command("requeue", "--migrated", "--reason", "read again")
    await adopted.command("requeue", "--failed", "--reason", "read again")
    async with adopted.worker():
        await until_all_is_read(adopted)
    sessions = await adopted.sessions()
    assert sessions.keys() == {each.path for each in uploads}
    for each in uploads:
        await adopted.assert_read(each)
        assert sessions[each.path]["file_path"] == each.file_path
        error = sessions[each.path]["processing_error"]
        assert bool(error) == (each.path in had_values), error
    assert await adopted.uploads() == {
        path: ("session", row["id"]) for path, row in sessions.items()
    }
    assert await adopted.command("requeue", "--migrated", "--dry-run") == (
        "0 migrated sessions would be requeued.\n"
    )


@pytest.mark.parametrize(
    ("shape", "recipe"),
    [
        (FIRST, "processing_version_default"),
        (NEWEST, "session_code_default"),
        (NEWEST, "session_code_trigger"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
async def test_uploads_wait_for_a_required_column_and_are_taken_in_once_it_is_filled(
    adopted: Adopted, recipe: str
) -> None:
    column = adopted.shape.fills
    trial = await trial_of(adopted)
    assert trial.verdict is Verdict.BAD
    assert f"therapy_sessions.{column} must not be empty" in trial.said
    async with adopted.worker():
        await adopted.upload(NEW)
        await until_all_wait_for(adopted, column)
        assert {outcome for outcome, _ in (await adopted.uploads()).values()} <= {
            "waiting",
            "taking",
            "session",
        }
        await apply_page(adopted.stack, recipe)
        await until_all_is_read(adopted)
    for each in NEW:
        await adopted.assert_read(each)
    assert len(await adopted.sessions()) == len(adopted.shape.uploads) + len(NEW)
    assert (await trial_of(adopted)).verdict is Verdict.GOOD


@pytest.mark.parametrize("shape", [NEWEST], ids=["newest"])
async def test_the_trigger_numbers_the_sessions_of_each_patient_who_is_known(
    adopted: Adopted,
) -> None:
    await apply_page(adopted.stack, "session_code_trigger")
    stranger = "P009/Ghostly_Emg_of_nobody.c3d"
    await adopted.harness.upload(Upload(30).content, stranger)
    await adopted.upload(NEW)
    database = adopted.harness.database
    async with adopted.worker():
        await until_all_is_read(adopted)
        sessions = await adopted.sessions()
        entered = await database.fetchval(
            "insert into patients (patient_code) values ('P009') returning id"
        )
        async with asyncio.timeout(20.0):
            while (await adopted.sessions())[stranger]["patient_id"] != entered:
                await asyncio.sleep(0.1)
    codes = sorted(sessions[each.path]["session_code"] for each in NEW)
    assert codes == ["P001S009", "P001S010", "P002S010", "P002S011"]
    assert len(sessions[stranger]["session_code"]) == len("00000000-0000-4000-8000-000000000000")
    assert sessions[stranger]["patient_code"] == "P009"
