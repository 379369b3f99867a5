"""A recording that is moved to another patient's folder keeps its session and gets that patient."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from tests.faults.rules import lose_reply
from tests.integration.harness import Harness
from tests.integration.uploads import (
    NEVER,
    RECORDING,
    behind,
    details,
    numbered,
    object_of,
    register,
    sessions,
    sweep_of,
)
from worker.backend.queued_uploads import Measured, Outcome
from worker.settings import DEFAULT_BUCKET

HERE, THERE, COPY = "P005/a.c3d", "P006/a.c3d", "P007/a.c3d"
OTHER = "other-bucket"
MOVED = "moved: The recording was moved here."
WITH_PATIENT = (
    "moved: The recording was moved here, and its session has the patient of this folder now."
)
TAKE = "^/rest/v1/rpc/take_objects$"
GIVE = "update public.therapy_sessions set patient_id = $1"


async def move(harness: Harness, path: str, to: str) -> None:
    """Move an object through the Storage API."""
    await harness.connection.supabase.storage.from_(DEFAULT_BUCKET).move(path, to)


async def move_between(harness: Harness, source: str, path: str, target: str, to: str) -> None:
    """Move an object to another bucket through the Storage API."""
    response = await harness.connection.http.post(
        f"{harness.stack.url}/storage/v1/object/move",
        json={
            "bucketId": source,
            "sourceKey": path,
            "destinationBucket": target,
            "destinationKey": to,
        },
        headers={"Authorization": f"Bearer {harness.stack.secret_key}"},
    )
    assert response.status_code == 200, response.text


@asynccontextmanager
async def other_bucket(harness: Harness) -> AsyncIterator[None]:
    """Have another bucket."""
    storage = harness.connection.supabase.storage
    await storage.create_bucket(OTHER)
    try:
        yield
    finally:
        await storage.empty_bucket(OTHER)
        await storage.delete_bucket(OTHER)


async def taken_in(harness: Harness, path: str = HERE) -> UUID:
    """Upload a recording, have it taken in, and return its session."""
    await harness.upload(RECORDING, path)
    assert await sweep_of(harness).sweep() == 1
    (session,) = await sessions(harness)
    return UUID(str(session["id"]))


async def filed(harness: Harness) -> tuple[str, str | None, str | None]:
    """Return path, patient_id and patient_code of the only session."""
    (row,) = await sessions(harness)
    return row["file_path"], row["patient_id"], row["patient_code"]


async def complete(harness: Harness) -> None:
    """Have every session completed."""
    await harness.database.execute(
        "update public.therapy_sessions set processing_status = 'completed'"
    )


@pytest.mark.parametrize("status", ["pending", "completed"])
async def test_a_recording_that_is_moved_gets_the_patient_of_its_folder(
    harness: Harness, status: str
) -> None:
    session = await taken_in(harness)
    if status == "completed":
        await complete(harness)
    await move(harness, HERE, THERE)
    with capture_logs() as logged:
        assert await sweep_of(harness).sweep() == 1
    assert await filed(harness) == (THERE, "P006", None)
    assert (await harness.row(session))["processing_status"] == status
    assert await details(harness) == {HERE: None, THERE: WITH_PATIENT}
    assert (await register(harness))[-1] == (THERE, "duplicate", session)
    (event,) = [each for each in logged if each["event"] == "session_moved"]
    assert event["session"] == str(session)

    await move(harness, THERE, HERE)  # and back
    await sweep_of(harness).sweep()
    assert await filed(harness) == (HERE, "P005", None)


async def test_a_worker_follows_a_recording_at_once(harness: Harness, tmp_path: Path) -> None:
    await harness.announces(harness.bucket)
    async with harness.worker(tmp_path, POLL_SECONDS=NEVER) as worker:
        await worker.until("realtime_ready")
        await harness.upload(RECORDING, HERE)
        await worker.until("session_done")
        await move(harness, HERE, THERE)
        moved = await worker.until("session_moved")
    assert await filed(harness) == (THERE, "P006", None)
    (session,) = await sessions(harness)
    assert (str(session["id"]), session["processing_status"]) == (moved["session"], "completed")


async def test_within_a_folder_the_patient_stays(harness: Harness) -> None:
    await taken_in(harness)
    await move(harness, HERE, "P005/visit 2/b.c3d")
    with capture_logs() as logged:
        await sweep_of(harness).sweep()
    assert await filed(harness) == ("P005/visit 2/b.c3d", "P005", None)
    assert (await details(harness))["P005/visit 2/b.c3d"] == MOVED
    assert [each for each in logged if each["event"] == "session_moved"] == []


async def test_a_folder_of_nobody_takes_no_patient_away_and_gives_way_to_one(
    harness: Harness,
) -> None:
    await taken_in(harness)
    await move(harness, HERE, "unsorted/a.c3d")
    await sweep_of(harness).sweep()
    assert await filed(harness) == ("unsorted/a.c3d", "P005", None)
    await harness.database.execute(GIVE, None)
    await move(harness, "unsorted/a.c3d", THERE)
    await sweep_of(harness).sweep()
    assert await filed(harness) == (THERE, "P006", None)


@pytest.mark.parametrize("patient", ["P009", None])
async def test_a_patient_whom_somebody_gave_stays(harness: Harness, patient: str | None) -> None:
    await taken_in(harness)
    await harness.database.execute(GIVE, patient)
    await move(harness, HERE, THERE)
    await sweep_of(harness).sweep()
    assert await filed(harness) == (THERE, patient, None)
    assert (await details(harness))[THERE] == MOVED


async def test_a_copy_in_another_folder_moves_nothing(harness: Harness) -> None:
    await taken_in(harness)
    await harness.upload(RECORDING, THERE)
    await sweep_of(harness).sweep()
    assert await filed(harness) == (HERE, "P005", None)
    assert str((await details(harness))[THERE]).startswith("other_patient: ")


@pytest.mark.parametrize("to", [HERE, THERE])
async def test_a_recording_that_comes_from_another_bucket_is_the_same(
    harness: Harness, to: str
) -> None:
    async with other_bucket(harness):
        session = await taken_in(harness)
        await move_between(harness, DEFAULT_BUCKET, HERE, OTHER, HERE)
        assert await sweep_of(harness).sweep() == 0
        await move_between(harness, OTHER, HERE, DEFAULT_BUCKET, to)
        assert await sweep_of(harness).sweep() == 1
        assert await filed(harness) == (to, to[:4], None)
        assert (await register(harness))[-1] == (to, "duplicate", session)


async def test_a_session_that_failed_for_want_of_its_object_is_read_and_follows_it(
    harness: Harness,
) -> None:
    session = await taken_in(harness)
    await harness.database.execute(
        "update public.therapy_sessions set processing_status = 'failed',"
        " processing_error = 'object_missing: It was not there.'"
    )
    await move(harness, HERE, THERE)
    with capture_logs() as logged:
        await sweep_of(harness).sweep()
    assert await filed(harness) == (THERE, "P006", None)
    assert (await harness.row(session))["processing_status"] == "pending"
    events = {each["event"] for each in logged}
    assert {"session_moved", "session_requeued"} <= events


async def measured(harness: Harness, path: str) -> Measured:
    """Claim an upload as a worker that has hashed it."""
    queue = sweep_of(harness).intake.queue
    uploaded = await object_of(harness, path)
    await queue.announce(uploaded)
    claimed = await queue.claim_one(uploaded)
    assert claimed is not None
    (session,) = await sessions(harness)
    return Measured(claimed, session["file_hash"], len(RECORDING), path[:4], recording=True)


def patient_of(path: str) -> str:
    """The patient whom a path of these tests names."""
    return path[:4]


async def test_a_take_that_is_repeated_changes_nothing_twice(harness: Harness) -> None:
    session = await taken_in(harness)
    await move(harness, HERE, THERE)
    queue = sweep_of(harness).intake.queue
    hashed = await measured(harness, THERE)
    (first,) = await queue.take([hashed], patient_of)
    await harness.database.execute(GIVE, "P009")  # somebody, in between
    (again,) = await queue.take([hashed], patient_of)
    for each, changed in ((first, True), (again, False)):
        assert not isinstance(each, Exception)
        assert (each.outcome, each.session) == (Outcome.DUPLICATE, session)
        assert each.patient_changed is changed
    assert await filed(harness) == (THERE, "P009", None)
    assert (await harness.row(session))["cache_hits"] == 1
    assert (await details(harness))[THERE] == WITH_PATIENT


async def test_a_recording_is_followed_though_another_took_its_place(harness: Harness) -> None:
    session = await taken_in(harness)
    await complete(harness)
    await move(harness, HERE, THERE)
    await harness.upload(numbered(7), HERE)
    await sweep_of(harness).sweep()
    moved = await harness.row(session)
    assert (moved["file_path"], moved["patient_id"]) == (THERE, "P006")
    (fresh,) = [each for each in await sessions(harness) if each["id"] != session]
    assert (fresh["file_path"], fresh["patient_id"]) == (HERE, "P005")


@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_a_copy_that_is_taken_in_first_keeps_no_session_from_its_own_object(
    harness: Harness, status: str
) -> None:
    session = await taken_in(harness)
    await harness.database.execute(
        "update public.therapy_sessions set processing_status = $1,"
        " processing_error = case $1 when 'failed' then 'object_missing: It was not there.' end",
        status,
    )
    await move(harness, HERE, THERE)
    await harness.upload(RECORDING, COPY)
    await sweep_of(harness).intake.queue.take([await measured(harness, COPY)], patient_of)
    assert await filed(harness) == (COPY, "P005", None)
    assert str((await details(harness))[COPY]).startswith("other_patient: ")
    await sweep_of(harness).sweep()
    assert await filed(harness) == (THERE, "P006", None)
    assert (await details(harness))[THERE] == WITH_PATIENT
    now = "pending" if status == "failed" else status
    assert (await harness.row(session))["processing_status"] == now


@pytest.mark.parametrize("lost", [0, 1], ids=["which patient is asked", "the end is told"])
async def test_a_reply_that_gets_lost_moves_the_recording_once(harness: Harness, lost: int) -> None:
    session = await taken_in(harness)
    await move(harness, HERE, THERE)
    async with behind(harness) as (proxy, sweep):
        with proxy.trouble(TAKE, lose_reply, times=lost + 1) as rule:
            await sweep.sweep()
        assert rule.hits == lost + 1
    assert await filed(harness) == (THERE, "P006", None)
    assert (await harness.row(session))["cache_hits"] == 1
    assert (await register(harness))[-1] == (THERE, "duplicate", session)
