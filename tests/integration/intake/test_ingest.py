"""`c3d-worker ingest`: files in, sessions out."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pytest_mock import MockerFixture

from tests.integration.command_line import command
from tests.integration.harness import Harness
from tests.integration.rules import REFUSING_ALL, TABLE, Rule
from tests.integration.uploads import (
    RECORDING,
    intake_of,
    numbered,
    register,
    sessions,
    settings_of,
    sweep_of,
    wait_over,
)
from worker.backend.object_store import ObjectDigest, ObjectStore
from worker.backend.queued_uploads import Outcome
from worker.intake.ingest import make_ingest, object_name
from worker.local.announcing import announce_uploads
from worker.settings import DEFAULT_BUCKET

LEASE_SECONDS = 5
# Other tests may leave buckets of their own.
OBJECTS = f"select count(*) from storage.objects where bucket_id = '{DEFAULT_BUCKET}'"


def written(folder: Path, name: str, content: bytes) -> str:
    """Write a file and return its path."""
    (folder / name).write_bytes(content)
    return str(folder / name)


async def test_files_become_sessions_of_their_patient(harness: Harness, tmp_path: Path) -> None:
    files = [written(tmp_path, f"{number}.c3d", numbered(number)) for number in range(3)]
    code, printed, complained = await command(
        harness.stack, tmp_path, "ingest", *files, "--patient", "P005"
    )
    assert (code, complained) == (0, "")
    found = await sessions(harness)
    assert [row["file_path"] for row in found] == [f"P005/{number}.c3d" for number in range(3)]
    assert {row["patient_id"] for row in found} == {"P005"}
    assert all(str(row["id"]) in printed for row in found)
    assert {row[1] for row in await register(harness)} == {"session"}


async def test_wait_follows_them_to_their_rows(harness: Harness, tmp_path: Path) -> None:
    webhook = await announce_uploads(harness.stack)  # the worker may be faster than the command
    file = written(tmp_path, "a.c3d", RECORDING)
    async with harness.worker(tmp_path, **webhook) as worker:
        await worker.until("realtime_ready")
        code, printed, _ = await command(harness.stack, tmp_path, "ingest", file, "--wait")
    assert code == 0
    assert "completed" in printed
    assert "CH1 Raw, CH2 Raw, CH1 activated, CH2 activated" in printed
    assert len(await sessions(harness)) == 1


async def test_a_known_recording_is_not_even_uploaded(harness: Harness, tmp_path: Path) -> None:
    file = written(tmp_path, "a.c3d", RECORDING)
    copy = written(tmp_path, "b.c3d", RECORDING)
    await command(harness.stack, tmp_path, "ingest", file)
    code, printed, _ = await command(harness.stack, tmp_path, "ingest", copy)
    assert code == 0
    assert "known already" in printed
    (session,) = await sessions(harness)
    assert session["cache_hits"] == 1
    assert await harness.database.fetchval(OBJECTS) == 1


async def test_what_is_not_a_c3d_is_refused_before_it_is_uploaded(
    harness: Harness, tmp_path: Path
) -> None:
    bad = written(tmp_path, "notes.c3d", b"no recording")
    good = written(tmp_path, "a.c3d", RECORDING)
    code, printed, _ = await command(harness.stack, tmp_path, "ingest", bad, good)
    assert code == 1
    assert "c3d_not_c3d" in printed
    assert [row["file_path"] for row in await sessions(harness)] == ["a.c3d"]
    code, _, _ = await command(harness.stack, tmp_path, "ingest", bad, "--force")
    assert code == 0
    assert len(await sessions(harness)) == 2


async def test_a_bucket_that_is_not_there_is_named(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "a.c3d").write_bytes(RECORDING)
    code, _, said = await command(harness.stack, tmp_path, "ingest", "a.c3d", C3D_BUCKET="typo")
    assert code == 2
    assert "bucket_missing" in said
    assert "C3D_BUCKET" in said


async def test_a_namesake_is_never_overwritten(harness: Harness, tmp_path: Path) -> None:
    await harness.upload(numbered(1), "a.c3d")
    file = written(tmp_path, "a.c3d", numbered(2))
    digest = hashlib.sha256(numbered(2)).hexdigest()
    assert (await command(harness.stack, tmp_path, "ingest", file))[0] == 0
    (session,) = await sessions(harness)
    assert session["file_path"] == f"a-{digest[:8]}.c3d"
    assert session["file_hash"] == digest


async def test_sending_the_file_again_heals_its_session(harness: Harness, tmp_path: Path) -> None:
    session = await harness.session(RECORDING, uploaded=False)
    await harness.database.execute(
        "update therapy_sessions set processing_status = 'failed',"
        " processing_error = 'object_missing: Gone.'"
    )
    file = written(tmp_path, "a.c3d", RECORDING)
    assert (await command(harness.stack, tmp_path, "ingest", file))[0] == 0
    row = await harness.row(session)
    assert (row["processing_status"], row["file_path"]) == ("pending", "a.c3d")


async def test_a_patient_that_the_pattern_would_not_find_is_refused(
    harness: Harness, tmp_path: Path
) -> None:
    file = written(tmp_path, "a.c3d", RECORDING)
    code, _, complained = await command(harness.stack, tmp_path, "ingest", file, "--patient", "Q7")
    assert code == 2
    assert "PATIENT_ID_PATTERN" in complained
    assert await harness.database.fetchval(OBJECTS) == 0


async def test_a_file_whose_session_has_to_wait_is_told_for_what(
    harness: Harness, tmp_path: Path
) -> None:
    file = written(tmp_path, "a.c3d", RECORDING)
    required = Rule(
        f"alter table {TABLE} alter column patient_id set not null",
        f"alter table {TABLE} alter column patient_id drop not null",
        (),
    )
    async with required.on(harness):
        code, printed, _ = await command(harness.stack, tmp_path, "ingest", file)
        assert code == 1
        assert printed.startswith("a.c3d: waits patient_unknown: The path names no patient")
        assert [row[1] for row in await register(harness)] == ["waiting"]
    await wait_over(harness)
    assert await sweep_of(harness).sweep() == 1


async def test_a_rule_that_refuses_all_ends_it_with_a_sentence_and_the_upload_waits(
    harness: Harness, tmp_path: Path
) -> None:
    file = written(tmp_path, "a.c3d", RECORDING)
    async with REFUSING_ALL["a column that must not be empty"].on(harness):
        code, _, complained = await command(harness.stack, tmp_path, "ingest", file)
        assert code == 2
        assert complained.startswith("schema_refuses: therapy_sessions.processing_version")
    assert [row[1] for row in await register(harness)] == ["waiting"]
    assert await sweep_of(harness).sweep() == 1


async def test_an_upload_that_another_worker_claims_meanwhile_is_looked_at_again(
    harness: Harness, tmp_path: Path, mocker: MockerFixture
) -> None:
    measure = ObjectStore.measure
    measured = 0

    async def claimed_by_another(store: ObjectStore, path: str, **others: Any) -> ObjectDigest:
        nonlocal measured
        measured += 1
        if measured == 1:
            await harness.database.execute(
                "update public.storage_intake"
                " set claim = gen_random_uuid(), due_at = clock_timestamp() + interval '1 second'"
            )
        return await measure(store, path, **others)

    mocker.patch.object(ObjectStore, "measure", claimed_by_another)
    ingest = make_ingest(harness.connection, settings_of(harness.stack))
    file = Path(written(tmp_path, "a.c3d", RECORDING))
    taken = await ingest.bring(file, None, lambda _: None)
    assert (taken.outcome, measured) == (Outcome.SESSION, 2)


async def test_a_long_download_keeps_its_lease(
    harness: Harness, tmp_path: Path, mocker: MockerFixture
) -> None:
    measure = ObjectStore.measure
    other = intake_of(harness).queue
    stolen = []

    async def slow(store: ObjectStore, path: str, **others: Any) -> ObjectDigest:
        await asyncio.sleep(LEASE_SECONDS + 1)
        stolen.extend(await other.claim(uuid4(), limit=1))
        return await measure(store, path, **others)

    mocker.patch.object(ObjectStore, "measure", slow)
    ingest = make_ingest(
        harness.connection, settings_of(harness.stack, lease_seconds=LEASE_SECONDS)
    )
    file = Path(written(tmp_path, "a.c3d", RECORDING))
    assert (await ingest.bring(file, None, lambda _: None)).outcome is Outcome.SESSION
    assert stolen == []


@pytest.mark.parametrize(
    ("name", "key"),
    [("Müller é.c3d", "Muller e.c3d"), ("a/b#c.c3d", "a_b_c.c3d"), ("日.c3d", "_.c3d")],
)
def test_a_name_is_written_in_the_characters_of_storage(name: str, key: str) -> None:
    assert object_name(name) == key
