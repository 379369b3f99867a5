"""The application that uploads adopts the worker: what it had is read, and it goes on as before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conftest import CreateDatabase
from tests.integration.application.adopting import SQL, Adopted, adopting, apply_page
from tests.integration.application.shapes import BUCKET, MIGRATABLE, NEWEST, Shape, Upload
from tests.integration.checking import found_in
from tests.integration.databases import connected, execute
from tests.integration.migrating import apply
from worker.check.findings import Check, Finding, Verdict
from worker.local.packages import Packages

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE = 4  # uploads after the migration, for each recipe
NO_DEFAULT = "alter table public.therapy_sessions alter column {} drop default"
VALUES = "select file_path from therapy_sessions join c3d_technical_data on session_id = id"
TAKEN_OVER = """
select file_path from session_overview
where state = 'taken over: no worker has read it' and read_at is null
  and what_to_do = 'To have it read: c3d-worker requeue --migrated'
"""
CREATE = "select session_id from create_session($1, $2, 1, 'a.c3d', $3)"


@pytest.fixture(scope="module", params=MIGRATABLE, ids=lambda shape: shape.name)
def shape(request: pytest.FixtureRequest) -> Shape:
    found: Shape = request.param
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def adopted(
    shape: Shape, tmp_path_factory: pytest.TempPathFactory, packages: Packages
) -> AsyncIterator[Adopted]:
    """The application's project, with its objects, migrated: one for all tests of a shape."""
    async with adopting(shape, tmp_path_factory.mktemp("application")) as found:
        await found.upload(shape.uploads)
        await found.migrate(packages)
        yield found


async def paths(adopted: Adopted, query: str) -> set[str]:
    """Return the paths, without the bucket's name, that a query of sessions finds."""
    found = await adopted.harness.database.fetch(query)
    return {row["file_path"].removeprefix(f"{BUCKET}/") for row in found}


async def until_one_waits_for(adopted: Adopted, column: str) -> None:
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


async def test_check_says_where_patients_are_looked_up(adopted: Adopted) -> None:
    (line,) = (await found_in(adopted.stack, c3d_bucket=BUCKET))[Check.PATIENTS]
    looked_up = adopted.shape.looked_up
    assert line.verdict is Verdict.GOOD
    assert line.said == (
        f"The code in a path is looked up in {looked_up}."
        if looked_up
        else "patient_id is the code with which a path begins."
    )


async def test_every_session_whose_object_is_there_is_read(adopted: Adopted) -> None:
    uploads = adopted.shape.uploads
    had_values = await paths(adopted, VALUES)
    taken_over = await paths(adopted, TAKEN_OVER)
    assert taken_over <= had_values
    assert bool(taken_over) == bool(had_values)
    assert await adopted.command("requeue", "--migrated", "--reason", "read again") == (
        f"{len(taken_over)} migrated sessions requeued.\n"
    )
    await adopted.command("requeue", "--failed", "--reason", "read again")
    async with adopted.worker():
        await adopted.until_all_is_read()
    sessions = await adopted.sessions()
    assert sessions.keys() == {each.path for each in uploads}
    for each in uploads:
        await adopted.assert_read(each)
        assert sessions[each.path]["file_path"] == each.file_path
        error = sessions[each.path]["processing_error"]
        assert bool(error) == (each.path in had_values), error
        if each.invented and error:
            assert "original_sample_count was 1. original_sampling_rate was 1000." in error
    assert await adopted.uploads() == {
        path: ("session", row["id"]) for path, row in sessions.items()
    }
    assert await paths(adopted, TAKEN_OVER) == set()


async def test_uploads_wait_for_a_required_column_and_are_taken_in_once_it_is_filled(
    adopted: Adopted,
) -> None:
    rounds = adopted.shape.recipes or ("",)
    new = [Upload(20 + number) for number in range(len(rounds) * AT_ONCE)]
    before = len(await adopted.sessions())
    async with adopted.worker():
        for number, recipe in enumerate(rounds):
            now = new[number * AT_ONCE :][:AT_ONCE]
            if recipe:
                await wait_until_cured(adopted, now, recipe)
            else:
                await adopted.upload(now)
            await adopted.until_all_is_read()
            assert (await trial_of(adopted)).verdict is Verdict.GOOD
    for each in new:
        await adopted.assert_read(each)
    assert len(await adopted.sessions()) == before + len(new)


async def wait_until_cured(adopted: Adopted, new: list[Upload], recipe: str) -> None:
    """Upload what has to wait for a required column, and fill that by a recipe."""
    column = adopted.shape.fills
    await execute(adopted.stack.database_url, NO_DEFAULT.format(column))
    trial = await trial_of(adopted)
    assert trial.verdict is Verdict.BAD
    assert f"therapy_sessions.{column} must not be empty" in trial.said
    await adopted.upload(new)
    await until_one_waits_for(adopted, column)
    outcomes = {outcome for outcome, _ in (await adopted.uploads()).values()}
    assert outcomes <= {"waiting", "taking", "session"}
    await apply_page(adopted.stack, recipe)


async def test_the_trigger_numbers_the_sessions_of_each_patient_who_is_known(
    blank_database: CreateDatabase,
) -> None:
    url = await blank_database()
    await NEWEST.make(url)
    await apply(url)
    await execute(url, (SQL / "session_code_trigger.sql").read_text())
    async with connected(url) as database:
        made = [
            await database.fetchval(CREATE, f"{patient}/{number}.c3d", str(number), patient)
            for number, patient in enumerate(["P001", "P001", "P002", "P002", "P009"])
        ]
        found = {row["id"]: row for row in await database.fetch("select * from therapy_sessions")}
    codes = [found[session]["session_code"] for session in made]
    assert codes[:4] == ["P001S009", "P001S010", "P002S010", "P002S011"]
    assert len(codes[4]) == len("00000000-0000-4000-8000-000000000000")
    assert found[made[4]]["patient_code"] == "P009"
    assert found[made[4]]["patient_id"] is None
