"""An upload that changed before it was taken in, and what a person reads of each upload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from tests.integration.harness import Harness
from tests.integration.uploads import (
    RECORDING,
    intake_of,
    numbered,
    object_of,
    overwrite,
    register,
    sessions,
    sweep_of,
    wait_over,
)
from worker.backend.queued_uploads import ClaimedObject, Outcome
from worker.errors import UnavailableError
from worker.intake.intake import Intake
from worker.settings import DEFAULT_BUCKET

PATH = "P005/a.c3d"
Change = Callable[[Harness], Awaitable[Any]]


async def overwritten(harness: Harness) -> None:
    await overwrite(harness, PATH, numbered(2))


async def deleted(harness: Harness) -> None:
    await harness.connection.supabase.storage.from_(DEFAULT_BUCKET).remove([PATH])


async def moved(harness: Harness) -> None:
    bucket = harness.connection.supabase.storage.from_(DEFAULT_BUCKET)
    await bucket.move(PATH, "P006/b.c3d")


CHANGES = [
    (overwritten, "superseded", ["P005/a.c3d"]),
    (deleted, "gone", []),
    (moved, "superseded", ["P006/b.c3d"]),
]


async def claimed_of(intake: Intake, object_id: UUID) -> ClaimedObject:
    """Announce and claim an object."""
    await intake.queue.announce(object_id)
    claimed = await intake.queue.claim_one(object_id)
    assert claimed is not None
    return claimed


async def line(harness: Harness) -> dict[str, Any]:
    """Return the only line of upload_overview."""
    (found,) = await harness.database.fetch("select * from public.upload_overview")
    return dict(found)


async def backdate(harness: Harness, column: str, minutes: int) -> None:
    """Let something have been `minutes` ago."""
    await harness.database.execute(
        f"update public.storage_intake set {column} = now() - make_interval(mins => $1)", minutes
    )


# --- changed before it was taken in ---------------------------------------------------------------


@pytest.mark.parametrize(("change", "outcome", "left"), CHANGES)
async def test_an_upload_that_changed_before_its_claim_is_not_downloaded(
    harness: Harness, change: Change, outcome: str, left: list[str]
) -> None:
    path = await harness.upload(numbered(1), PATH)
    intake = intake_of(harness)
    await intake.queue.announce(await object_of(harness, path))
    await change(harness)
    assert await intake.queue.claim_one(await _id(harness)) is None
    assert await register(harness) == [(PATH, outcome, None)]
    assert await sweep_of(harness).sweep() == len(left)
    assert [row["file_path"] for row in await sessions(harness)] == left


@pytest.mark.parametrize(("change", "outcome", "left"), CHANGES)
async def test_an_upload_that_changed_during_its_download_makes_no_session(
    harness: Harness, change: Change, outcome: str, left: list[str]
) -> None:
    path = await harness.upload(numbered(1), PATH)
    intake = intake_of(harness)
    claimed = await claimed_of(intake, await object_of(harness, path))
    await change(harness)
    taken = await intake.take(claimed)
    assert taken.session is None
    assert await sessions(harness) == []
    await wait_over(harness)  # what is not at its path any more was put off
    assert await sweep_of(harness).sweep() == len(left)
    outcomes = [row[1] for row in await register(harness)]
    assert outcomes == [outcome, *["session"] * len(left)]
    assert [row["file_path"] for row in await sessions(harness)] == left


async def _id(harness: Harness) -> UUID:
    found = await harness.database.fetchval("select object_id from public.storage_intake")
    assert isinstance(found, UUID)
    return found


# --- what a person reads --------------------------------------------------------------------------


async def test_a_new_upload_waits_and_there_is_nothing_to_do(harness: Harness) -> None:
    path = await harness.upload(RECORDING, PATH)
    await sweep_of(harness).announce()
    found = await line(harness)
    assert (found["urgency"], found["state"], found["what_to_do"]) == (3, "waiting", None)
    assert (found["file"], found["object_path"], found["bucket"]) == (
        "a.c3d",
        PATH,
        DEFAULT_BUCKET,
    )
    assert found["size_bytes"] == len(RECORDING)
    assert found["object_id"] == await object_of(harness, path)
    assert found["uploaded_at"] == found["waiting_since"]
    assert found["ended_at"] is None


async def test_an_upload_that_nobody_takes_in_asks_for_a_worker(harness: Harness) -> None:
    await harness.upload(RECORDING, PATH)
    await sweep_of(harness).announce()
    await backdate(harness, "due_at", 6)
    await backdate(harness, "announced_at", 6)
    found = await line(harness)
    assert found["state"] == "stuck: no worker takes it in"
    assert "Start one with `c3d-worker run`" in found["what_to_do"]


async def test_an_upload_that_is_being_taken_in_says_so_however_old_it_is(harness: Harness) -> None:
    path = await harness.upload(RECORDING, PATH)
    await claimed_of(intake_of(harness), await object_of(harness, path))
    await backdate(harness, "announced_at", 60)
    found = await line(harness)
    assert (found["urgency"], found["state"], found["what_to_do"]) == (4, "being taken in", None)


async def test_an_upload_whose_worker_stopped_is_stuck(harness: Harness) -> None:
    path = await harness.upload(RECORDING, PATH)
    await claimed_of(intake_of(harness), await object_of(harness, path))
    await backdate(harness, "due_at", 2)
    found = await line(harness)
    assert found["state"] == "stuck: its worker stopped"
    assert "Is a worker running?" in found["what_to_do"]


async def test_an_upload_that_was_put_off_says_for_what_and_until_when(harness: Harness) -> None:
    await harness.database.execute(
        "insert into storage.objects (bucket_id, name, version) values ($1, $2, '1')",
        DEFAULT_BUCKET,
        PATH,
    )
    await sweep_of(harness).sweep()
    found = await line(harness)
    assert (found["urgency"], found["state"]) == (2, "waiting for its next attempt")
    assert found["what_to_do"].startswith("object_missing: Storage has no object")
    assert "Upload the file to that path again" in found["what_to_do"]
    assert found["next_attempt_at"] > found["uploaded_at"]
    assert found["attempts"] == 1


async def test_an_upload_that_waits_for_supabase_says_so_even_when_it_is_stuck(
    harness: Harness,
) -> None:
    path = await harness.upload(RECORDING, PATH)
    intake = intake_of(harness)
    claimed = await claimed_of(intake, await object_of(harness, path))
    await intake.queue.release([claimed], UnavailableError("Storage answered HTTP 500."))
    assert (await line(harness))["what_to_do"].startswith("supabase_unavailable: Storage answered")
    assert (await line(harness))["attempts"] == 0
    await backdate(harness, "announced_at", 6)
    found = await line(harness)
    assert (found["state"], found["urgency"]) == ("waiting", 2)
    assert found["what_to_do"].startswith("supabase_unavailable: Storage answered")
    await backdate(harness, "due_at", 6)
    found = await line(harness)
    assert found["state"] == "stuck: no worker takes it in"
    assert "Is a worker running?" in found["what_to_do"]
    assert "Storage answered HTTP 500." in found["what_to_do"]


async def test_a_refused_upload_says_why_and_to_take_it_in_anew_only_where_that_helps(
    harness: Harness,
) -> None:
    path = await harness.upload(RECORDING, PATH)
    await harness.database.execute(
        """update storage.objects set metadata = '{"size": 2147483648}'"""
    )
    await sweep_of(harness).sweep()
    found = await line(harness)
    assert (found["urgency"], found["state"]) == (1, "refused: no session is possible")
    assert found["what_to_do"].startswith("file_beyond_integer: ")
    assert found["what_to_do"].endswith("split the recording.")
    await harness.database.execute(
        "update public.storage_intake set detail = 'size_mismatch: It was changed.'"
    )
    again = f"To take it in anew: c3d-worker retake {await object_of(harness, path)}"
    assert (await line(harness))["what_to_do"] == f"size_mismatch: It was changed. {again}"
    assert found["ended_at"] is not None


async def test_a_refused_upload_whose_object_was_overwritten_is_superseded(
    harness: Harness,
) -> None:
    await harness.upload(RECORDING, PATH)
    await harness.database.execute(
        """update storage.objects set metadata = '{"size": 2147483648}'"""
    )
    await sweep_of(harness).sweep()
    await overwritten(harness)
    await sweep_of(harness).sweep()
    (session,) = await sessions(harness)
    said = (await line(harness))["what_to_do"]
    assert said.startswith(f"Superseded by session {session['id']}, a later upload to this path")
    assert "retake" not in said


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (overwritten, "overwritten or moved before it was taken in"),
        (moved, "overwritten or moved before it was taken in"),
        (deleted, "deleted before it was taken in"),
    ],
)
async def test_an_upload_that_is_not_there_any_more_says_so(
    harness: Harness, change: Change, state: str
) -> None:
    path = await harness.upload(numbered(1), PATH)
    intake = intake_of(harness)
    await intake.queue.announce(await object_of(harness, path))
    await change(harness)
    assert await intake.queue.claim_one(await _id(harness)) is None
    found = await line(harness)
    assert (found["urgency"], found["state"], found["what_to_do"]) == (5, state, None)


async def test_an_upload_with_a_session_is_in_the_other_view(harness: Harness) -> None:
    await harness.upload(RECORDING, PATH)
    await harness.upload(RECORDING, "P005/copy.c3d")
    assert await sweep_of(harness).sweep() == 2
    assert await harness.database.fetch("select * from public.upload_overview") == []


async def test_what_needs_a_person_comes_first(harness: Harness) -> None:
    await harness.database.execute(
        """
        insert into public.storage_intake
          (object_id, version, bucket_id, object_path, outcome, detail, due_at, taken_at)
        select
          gen_random_uuid(), '1', 'c3d-files', 'P005/' || outcome || '.c3d', outcome, detail,
          case when outcome in ('waiting', 'taking') then now() end,
          case when outcome not in ('waiting', 'taking') then now() end
        from (values
          ('gone', null), ('taking', null), ('waiting', null), ('waiting', 'path_held: x.'),
          ('refused', 'size_mismatch: x.'), ('superseded', null), ('session', null)
        ) as uploads (outcome, detail)
        """
    )
    found = await harness.database.fetch("select urgency from public.upload_overview")
    assert [row["urgency"] for row in found] == [1, 2, 3, 4, 5, 5]


async def test_an_upload_taken_in_at_once_is_told_what_it_waits_for(harness: Harness) -> None:
    await harness.database.execute(
        "insert into storage.objects (bucket_id, name, version) values ($1, $2, '1')",
        DEFAULT_BUCKET,
        PATH,
    )
    intake, object_id = intake_of(harness), await object_of(harness, PATH)
    first = await intake.take_now(object_id)
    again = await intake.take_now(object_id)
    assert first is not None
    assert again is not None
    assert (first.outcome, again.outcome) == (Outcome.WAITING, Outcome.WAITING)
    assert str(again.detail).startswith("object_missing: ")
