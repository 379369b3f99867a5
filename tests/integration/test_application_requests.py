"""What the application asks of the API is answered after the migration as it was before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.application.adopting import Adopted, adopting, apply_page
from tests.integration.application.client import ANON, PEOPLE, SERVICE, THERAPIST, Answer
from tests.integration.application.shapes import NEWEST, Upload, of_path_and_size
from tests.integration.checking import found_in
from worker.check.findings import Check, Verdict
from worker.local.packages import Packages

PATHS = ",".join(f'"{each.file_path}"' for each in NEWEST.uploads[:4])
SESSIONS = "therapy_sessions?select=id,session_code,processed_at,performance_scores(overall_score)"
EMBEDDED = (
    "patients?select=patient_code,therapy_sessions(processed_at)&order=patient_code"
    "&therapy_sessions.order=processed_at"
)
READS = (
    f"{SESSIONS}&file_path=in.({PATHS})&order=file_path",
    EMBEDDED,
    "therapy_sessions?select=id&patient_id=eq.{patient}&order=id",
    "emg_statistics?select=session_id,channel_name,rms&order=session_id",
    "export_history?select=session_id,therapy_sessions(session_code)&order=session_id",
)
FOUND = (
    "c3d_technical_data?select=session_id,channel_count",
    "session_overview?select=session_id,channels",
)
READABLE = [upload for upload in NEWEST.uploads if upload.status != "failed"]
READ = "select count(*) from c3d_technical_data where extracted_at is not null"
ANSWERED_TO_ALL = ["therapist", "other therapist", "researcher", "admin", "service"]
NEW, BY_BOTH, HELD = Upload(40), Upload(42), Upload(44)  # of P001, a patient of the therapist's
COLUMNS = "select=session_code,file_path,patient_id,processing_status,game_metadata"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class Asked:
    """What everybody was answered."""

    reads: dict[str, list[Answer]]
    writes: dict[str, list[Answer]]


@dataclass(frozen=True, slots=True)
class Migrated:
    """The application's project of today after the migration, and what was answered around it."""

    project: Adopted
    before: Asked
    after: Asked


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def migrated(
    tmp_path_factory: pytest.TempPathFactory, packages: Packages
) -> AsyncIterator[Migrated]:
    """One for all tests; each has an upload of its own."""
    async with adopting(NEWEST, tmp_path_factory.mktemp("application")) as found:
        await found.upload(NEWEST.uploads)
        await found.application.until_served(EMBEDDED)
        before = await asked(found)
        await found.migrate(packages)
        yield Migrated(found, before, await asked(found))


@pytest.fixture
def adopted(migrated: Migrated) -> Adopted:
    return migrated.project


async def asked(adopted: Adopted) -> Asked:
    """Ask everything as everybody; what is written is deleted again."""
    read = await reads(adopted)
    return Asked(read, {name: await writes(adopted, PEOPLE[name]) for name in ANSWERED_TO_ALL})


async def reads(adopted: Adopted) -> dict[str, list[Answer]]:
    """Return what everybody is answered."""
    patient = await patient_of(adopted, "P001")
    return {
        name: [await adopted.application.ask(who, what.format(patient=patient)) for what in READS]
        for name, who in PEOPLE.items()
    }


async def patient_of(adopted: Adopted, code: str) -> str:
    query = "select id::text from patients where patient_code = $1"
    return str(await adopted.harness.database.fetchval(query, code))


async def new_session(adopted: Adopted, upload: Upload) -> dict[str, Any]:
    """Return the row that the application inserts for an upload."""
    return {
        "session_code": f"{upload.code}S{upload.number:03}",
        "file_path": upload.file_path,
        "file_hash": of_path_and_size(upload),
        "file_size_bytes": len(upload.content),
        "patient_id": await patient_of(adopted, upload.code),
        "therapist_id": THERAPIST,
        "processing_status": "processing",
    }


async def writes(adopted: Adopted, who: str) -> list[Answer]:
    """Insert a session, take it through its states and delete it; return all answers."""
    row = await new_session(adopted, NEW)
    one = f"therapy_sessions?{COLUMNS}&session_code=eq.{row['session_code']}"
    changes = (
        {"processing_status": "processing"},
        {"processing_status": "reprocessing"},
        {"game_metadata": {"technical_data": {"sampling_rate": 990}}},
        {"processing_status": "completed", "processed_at": "2026-11-27T08:00:00Z"},
    )
    ask = adopted.application.ask
    return [
        await ask(who, f"therapy_sessions?{COLUMNS}", method="POST", values=row),
        *[await ask(who, one, method="PATCH", values=change) for change in changes],
        await ask(who, one, method="DELETE"),
    ]


def said(answer: Answer) -> Answer:
    """Return an answer without the status, which the worker's rules may have changed."""
    rows = answer.body if isinstance(answer.body, list) else []
    for row in rows:
        row.pop("processing_status", None)
    return answer


async def test_everybody_reads_the_same_before_and_after(migrated: Migrated) -> None:
    before = migrated.before.reads
    for name in ANSWERED_TO_ALL:
        assert [answer.status for answer in before[name]] == [200] * len(READS)
    theirs = {name: [answer.counted for answer in before[name]] for name in ANSWERED_TO_ALL}
    assert theirs["therapist"] == ["2", "1", "5", "5", "2"]
    assert theirs["other therapist"] == ["2", "1", "0", "5", "2"]
    assert (
        theirs["researcher"] == theirs["admin"] == theirs["service"] == ["4", "2", "5", "10", "4"]
    )
    assert migrated.after.reads == before


@pytest.mark.parametrize("who", ANSWERED_TO_ALL)
async def test_everybody_writes_the_same_before_and_after(migrated: Migrated, who: str) -> None:
    before, after = migrated.before.writes[who], migrated.after.writes[who]
    if who in {"therapist", "admin", "service"}:
        assert [answer.status for answer in before] == [201, 200, 200, 200, 200, 200]
        statuses = [answer.body[0]["processing_status"] for answer in after]
        # What it finishes itself, a worker still has to read.
        assert statuses == ["processing", "processing", "pending", "pending", "pending", "pending"]
    else:
        assert before[0].status == 403
    assert [said(answer) for answer in after] == [said(answer) for answer in before]


async def test_a_session_that_the_application_finishes_itself_is_read_and_stays_one(
    adopted: Adopted,
) -> None:
    await apply_page(adopted.stack, "sessions_by_the_application")
    ask, row = adopted.application.ask, await new_session(adopted, NEW)
    one = f"therapy_sessions?session_code=eq.{row['session_code']}"
    async with adopted.worker(BUCKET_SWEEP_SECONDS="0"):
        await adopted.upload([NEW])
        inserted = await ask(THERAPIST, "therapy_sessions", method="POST", values=row)
        assert inserted.status == 201, inserted.body
        cache = {"analytics_cache": {"rms": 0.5}, "cache_hits": 1}
        assert (await ask(SERVICE, one, method="PATCH", values=cache)).status == 200
        finished = {"processing_status": "completed", "game_metadata": {"level": "2"}}
        assert (await ask(THERAPIST, one, method="PATCH", values=finished)).status == 200
        async with asyncio.timeout(60.0):
            while (await adopted.sessions())[NEW.path]["hash_measured_at"] is None:
                await asyncio.sleep(0.1)
    await adopted.assert_read(NEW)
    (read,) = (await ask(THERAPIST, one)).body
    assert read["processing_error"] is None
    assert read["analytics_cache"]["rms"] == 0.5
    assert read["game_metadata"]["level"] == "2"
    score = {"session_id": read["id"], "overall_score": 90}
    assert (await ask(SERVICE, "performance_scores", method="POST", values=score)).status == 201
    again = {"processing_status": "reprocessing"}
    async with adopted.worker(BUCKET_SWEEP_SECONDS="0"):
        assert (await ask(THERAPIST, one, method="PATCH", values=again)).status == 200
        await adopted.harness.until(read["id"], "completed", seconds=60.0)
    await adopted.assert_read(NEW)


async def test_check_tells_where_no_table_of_patients_can_be_found_and_its_cure_helps(
    adopted: Adopted,
) -> None:
    database = adopted.harness.database
    await database.execute("alter table patients drop constraint patients_patient_code_key")
    (line,) = (await found_in(adopted.stack))[Check.PATIENTS]
    assert line.verdict is Verdict.WARNING
    assert line.said == "patient_id is uuid, and no table of patients is known: it stays empty."
    await database.execute(line.cure.partition(": ")[2])
    (line,) = (await found_in(adopted.stack))[Check.PATIENTS]
    assert line.verdict is Verdict.GOOD
    assert f"looked up in {NEWEST.looked_up}" in line.said
    await database.execute("alter table patients add unique (patient_code)")


async def test_a_session_that_the_application_is_at_is_nobody_elses_for_a_day(
    adopted: Adopted,
) -> None:
    row = await new_session(adopted, HELD)
    await adopted.application.ask(THERAPIST, "therapy_sessions", method="POST", values=row)
    claim = "select file_path from claim_sessions(gen_random_uuid(), 99, 60, 5)"
    database = adopted.harness.database
    taken_back = database.transaction()
    await taken_back.start()
    assert HELD.file_path not in [each["file_path"] for each in await database.fetch(claim)]
    await database.execute(
        "update therapy_sessions set processing_due_at = processing_due_at - interval '1 day'"
        " where file_path = $1",
        HELD.file_path,
    )
    assert HELD.file_path in [each["file_path"] for each in await database.fetch(claim)]
    await taken_back.rollback()


async def test_therapists_read_what_was_found_of_their_own_patients_once_it_is_opened(
    adopted: Adopted,
) -> None:
    ask, database = adopted.application.ask, adopted.harness.database
    async with adopted.worker(BUCKET_SWEEP_SECONDS="0"), asyncio.timeout(60.0):
        while await database.fetchval(READ) < len(READABLE):
            await asyncio.sleep(0.1)
    for who in PEOPLE.values():
        statuses = [(await ask(who, what)).status for what in FOUND]
        assert statuses == {SERVICE: [200, 200], ANON: [401, 401]}.get(who, [403, 403])
    await apply_page(adopted.stack, "therapists_read")
    seen = {}
    for name in ("therapist", "other therapist", "researcher", "admin"):
        visible = (await ask(PEOPLE[name], "therapy_sessions?select=id")).body
        technical, overview = [(await ask(PEOPLE[name], what)).body for what in FOUND]
        seen[name] = {row["session_id"] for row in technical if row["channel_count"] > 0}
        assert {row["session_id"] for row in overview} == {row["id"] for row in visible}
        of_the_overview = {row["session_id"] for row in overview if row["channels"]}
        assert of_the_overview == seen[name]
    assert len(seen["therapist"]) >= len(READABLE) / 2 == len(seen["other therapist"])
    assert seen["therapist"].isdisjoint(seen["other therapist"])
    assert seen["therapist"] | seen["other therapist"] == seen["researcher"] == seen["admin"]
    for what in FOUND:
        assert (await ask(ANON, what)).status == 401
    assert (await ask(THERAPIST, FOUND[0], method="DELETE")).status == 403


async def test_where_both_make_the_session_the_applications_is_told_as_a_duplicate(
    adopted: Adopted,
) -> None:
    await apply_page(adopted.stack, "session_code_default")
    row = {**await new_session(adopted, BY_BOTH), "processing_status": "pending"}
    database = adopted.harness.database
    async with adopted.worker():
        await adopted.upload([BY_BOTH])
        async with asyncio.timeout(60.0):
            while BY_BOTH.path not in await adopted.sessions():
                await asyncio.sleep(0.1)
        await adopted.application.ask(THERAPIST, "therapy_sessions", method="POST", values=row)
        async with asyncio.timeout(60.0):
            while not (
                found := await database.fetch(
                    "select processing_error from therapy_sessions"
                    " where file_path = $1 and processing_status = 'failed'",
                    BY_BOTH.file_path,
                )
            ):
                await asyncio.sleep(0.1)
    assert found[0]["processing_error"].startswith("duplicate_content: Session ")
    await database.execute("delete from therapy_sessions where file_path = $1", BY_BOTH.file_path)
