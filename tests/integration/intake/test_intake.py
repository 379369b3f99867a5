"""Phase 1: an upload becomes a session at once, exactly once, with its true hash."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from tests.integration.harness import Harness
from tests.integration.uploads import (
    RECORDING,
    details,
    intake_of,
    numbered,
    object_of,
    overwrite,
    register,
    sessions,
    sweep_of,
)
from worker.backend.object_store import ObjectDigest, ObjectStore
from worker.backend.queued_uploads import Outcome
from worker.settings import DEFAULT_BUCKET


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were downloaded to be hashed."""
    paths: list[str] = []
    measure = ObjectStore.measure

    async def counted(self: ObjectStore, path: str, **others: Any) -> ObjectDigest:
        paths.append(path)
        return await measure(self, path, **others)

    monkeypatch.setattr(ObjectStore, "measure", counted)
    return paths


async def test_an_upload_becomes_a_session_and_nothing_is_invented(harness: Harness) -> None:
    path = await harness.upload(RECORDING, "P005/visit 2/a.C3D")
    taken = await intake_of(harness).take_now(await object_of(harness, path))
    assert taken is not None
    assert taken.outcome is Outcome.SESSION
    (session,) = await sessions(harness)
    assert session["id"] == taken.session
    assert session["file_path"] == path
    assert session["file_hash"] == hashlib.sha256(RECORDING).hexdigest()
    assert session["file_size_bytes"] == len(RECORDING)
    assert session["original_filename"] == "a.C3D"
    assert session["patient_id"] == "P005"
    assert session["processing_status"] == "pending"
    assert session["cache_hits"] == 0
    assert (session["game_metadata"], session["analytics_cache"]) == ("{}", "{}")
    assert await harness.technical(session["id"]) is None
    assert await register(harness) == [(path, "session", session["id"])]


@pytest.mark.parametrize(
    ("path", "pattern", "patient"),
    [
        ("uploads/P005/a.c3d", r"^(P\d+)/", None),
        ("a.c3d", r"^(P\d+)/", None),
        ("ward/P7-left/a.c3d", r"P\d+", "P7"),
        ("ward//a.c3d", r"^ward/(.*)/a", None),
    ],
)
async def test_the_patient_is_what_the_path_says_or_nobody(
    harness: Harness, path: str, pattern: str, patient: str | None
) -> None:
    await harness.upload(RECORDING, path)
    await sweep_of(harness, patient_id_pattern=pattern).sweep()
    (session,) = await sessions(harness)
    assert session["patient_id"] == patient


async def test_the_same_recording_again_is_a_hit_and_not_a_session(
    harness: Harness, downloads: list[str]
) -> None:
    first = await harness.upload(RECORDING, "P001/a.c3d")
    sweep = sweep_of(harness)
    assert await sweep.sweep() == 1
    (before,) = await sessions(harness)
    again = await harness.upload(RECORDING, "P001/b.c3d")
    assert await sweep.sweep() == 1
    (session,) = await sessions(harness)
    assert session["cache_hits"] == 1
    assert session["last_accessed_at"] > before["last_accessed_at"]
    assert session["file_path"] == first
    assert await register(harness) == [
        (first, "session", session["id"]),
        (again, "duplicate", session["id"]),
    ]
    assert [await sweep.sweep() for _ in range(3)] == [0, 0, 0]
    assert downloads == [first, again]


async def test_of_the_same_recording_the_first_upload_gets_the_session(harness: Harness) -> None:
    first = await harness.upload(RECORDING, "P002/b.c3d")
    sweep = sweep_of(harness)
    await sweep.sweep()
    for path in ("P001/a.c3d", "P003/c.c3d"):
        await harness.upload(RECORDING, path)
    await sweep.sweep()
    (session,) = await sessions(harness)
    assert (session["file_path"], session["patient_id"]) == (first, "P002")


async def test_twenty_uploads_of_the_same_bytes_at_once_make_one_session(harness: Harness) -> None:
    paths = [f"P001/{number}.c3d" for number in range(20)]
    await asyncio.gather(*(harness.upload(RECORDING, path) for path in paths))
    intakes = [intake_of(harness, concurrency=20) for _ in range(2)]  # two workers
    objects = [await object_of(harness, path) for path in paths]
    taken = await asyncio.gather(
        *(intakes[number % 2].take_now(each) for number, each in enumerate(objects))
    )
    (session,) = await sessions(harness)
    assert {each.session for each in taken if each} == {session["id"]}
    assert sorted(str(each.outcome) for each in taken if each) == ["duplicate"] * 19 + ["session"]
    assert session["cache_hits"] == 19


async def test_an_object_announced_twenty_times_at_once_is_downloaded_once(
    harness: Harness, downloads: list[str]
) -> None:
    path = await harness.upload(RECORDING)
    announced = await object_of(harness, path)
    intake = intake_of(harness)
    taken = await asyncio.gather(*(intake.take_now(announced) for _ in range(20)))
    assert {str(each.outcome) for each in taken if each} <= {"session", "taking"}
    after = await intake.take_now(announced)
    (session,) = await sessions(harness)
    assert after is not None
    assert (after.outcome, after.session) == (Outcome.SESSION, session["id"])
    assert downloads == [path]
    assert session["cache_hits"] == 0  # one upload, however often it is announced


async def test_two_sweeps_beside_each_other_download_each_object_once(
    harness: Harness, downloads: list[str]
) -> None:
    paths = [await harness.upload(numbered(number)) for number in range(30)]
    taken = await asyncio.gather(sweep_of(harness).sweep(), sweep_of(harness).sweep())
    assert sum(taken) == 30
    assert sorted(downloads) == sorted(paths)
    assert len(await sessions(harness)) == 30


async def test_an_overwritten_object_is_a_new_session_and_the_old_row_stays(
    harness: Harness,
) -> None:
    path = await harness.upload(numbered(1))
    sweep = sweep_of(harness)
    await sweep.sweep()
    await harness.database.execute("update therapy_sessions set processing_status = 'completed'")
    (old,) = await sessions(harness)
    await harness.database.execute(
        "insert into c3d_technical_data (session_id, channel_count) values ($1, 4)", old["id"]
    )
    technical = await harness.technical(old["id"])
    await overwrite(harness, path, numbered(2))
    assert await sweep.sweep() == 1
    first, second = await sessions(harness)
    assert first == old
    assert await harness.technical(old["id"]) == technical
    assert second["file_hash"] == hashlib.sha256(numbered(2)).hexdigest()
    assert (second["file_path"], second["processing_status"]) == (path, "pending")
    assert [row[1] for row in await register(harness)] == ["session", "session"]


async def test_a_session_that_a_person_made_is_its_objects_session_and_not_a_hit(
    harness: Harness,
) -> None:
    session = await harness.session(RECORDING)
    await sweep_of(harness).sweep()
    row = await harness.row(session)
    assert row["cache_hits"] == 0
    assert await register(harness) == [(row["file_path"], "session", session)]


async def test_a_session_of_the_old_system_is_known_by_its_path(harness: Harness) -> None:
    session = await harness.session(
        RECORDING, file_hash="hash of path and size", path="P1/a.c3d", measured=False
    )
    sweep = sweep_of(harness)
    await sweep.sweep()
    assert await register(harness) == [("P1/a.c3d", "session", session)]
    await overwrite(harness, "P1/a.c3d", numbered(1))
    await sweep.sweep()
    assert len(await sessions(harness)) == 2


async def test_an_object_that_is_not_a_recording_is_ignored_unless_asked_for(
    harness: Harness,
) -> None:
    await harness.upload(b"notes", "P001/notes.txt")
    await harness.upload(b"", "P001/.emptyFolderPlaceholder")
    assert await sweep_of(harness).sweep() == 0
    assert await sweep_of(harness, other_files="skip").sweep() == 1
    (session,) = await sessions(harness)
    assert (session["processing_status"], session["patient_id"]) == ("skipped", "P001")
    assert await register(harness) == [("P001/notes.txt", "skipped", session["id"])]


async def test_a_skipped_file_that_comes_again_as_a_recording_is_read(harness: Harness) -> None:
    await harness.upload(RECORDING, "P001/a.bin")
    sweep = sweep_of(harness, other_files="skip")
    await sweep.sweep()
    await harness.upload(RECORDING, "P001/a.c3d")
    await sweep.sweep()
    (session,) = await sessions(harness)
    assert (session["processing_status"], session["file_path"]) == ("pending", "P001/a.c3d")


async def test_a_file_beyond_integer_is_refused_undownloaded(
    harness: Harness, downloads: list[str]
) -> None:
    path = await harness.upload(RECORDING)
    await harness.database.execute(
        """update storage.objects set metadata = metadata || '{"size": 2147483648}'
           where name = $1""",
        path,
    )
    sweep = sweep_of(harness)
    assert await sweep.sweep() == 1
    assert await sessions(harness) == []
    assert await register(harness) == [(path, "refused", None)]
    detail = await harness.database.fetchval("select detail from storage_intake")
    assert detail.startswith("file_beyond_integer: ")
    assert await sweep.sweep() == 0
    assert downloads == [path]  # was asked for, and answered without a request


@pytest.mark.parametrize("size", ["null", '"many"'])
async def test_an_object_whose_size_storage_does_not_know_is_measured(
    harness: Harness, size: str
) -> None:
    path = await harness.upload(RECORDING)
    await harness.database.execute(
        "update storage.objects set metadata = jsonb_build_object('size', $2::jsonb)"
        " where name = $1",
        path,
        size,
    )
    await sweep_of(harness).sweep()
    assert [each["file_size_bytes"] for each in await sessions(harness)] == [len(RECORDING)]


async def test_a_row_without_bytes_waits_with_its_reason(
    harness: Harness, downloads: list[str]
) -> None:
    await harness.database.execute(
        "insert into storage.objects (bucket_id, name, version) values ($1, 'P1/a.c3d', null)",
        DEFAULT_BUCKET,
    )
    sweep = sweep_of(harness)
    assert [await sweep.sweep(), await sweep.sweep()] == [0, 0]
    assert await register(harness) == [("P1/a.c3d", "waiting", None)]
    assert str((await details(harness))["P1/a.c3d"]).startswith("object_missing: ")
    assert len(downloads) == 1  # put off


async def test_a_deleted_session_comes_back_while_its_object_stays(harness: Harness) -> None:
    await harness.upload(RECORDING)
    sweep = sweep_of(harness)
    await sweep.sweep()
    await harness.database.execute("delete from therapy_sessions")
    assert await register(harness) == []
    assert await sweep.sweep() == 1
    assert len(await sessions(harness)) == 1


async def test_an_object_that_is_gone_gets_no_session(harness: Harness) -> None:
    path = await harness.upload(RECORDING)
    announced = await object_of(harness, path)
    await harness.connection.supabase.storage.from_(DEFAULT_BUCKET).remove([path])
    assert await intake_of(harness).take_now(announced) is None
    assert await register(harness) == []
