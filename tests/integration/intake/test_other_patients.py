"""The same bytes under two patients: whose they are is said, wherever a person looks."""

from __future__ import annotations

from pathlib import Path

from tests.integration.command_line import command
from tests.integration.harness import Harness
from tests.integration.uploads import (
    RECORDING,
    details,
    intake_of,
    numbered,
    object_of,
    sessions,
    sweep_of,
)
from worker.settings import DEFAULT_BUCKET

SAID = "select what_to_do from public.upload_overview where state = $1"
OF_ANOTHER = "known already, and of another patient"


async def second_upload(harness: Harness) -> str | None:
    """Upload the bytes of P007 for P008 as well, and return what the overview says of it."""
    await harness.upload(RECORDING, "P007/a.c3d")
    await sweep_of(harness).sweep()
    await harness.upload(RECORDING, "P008/a.c3d")
    await sweep_of(harness).sweep()
    said: str | None = await harness.database.fetchval(SAID, OF_ANOTHER)
    return said


async def test_the_overview_lists_an_upload_whose_content_is_another_patients(
    harness: Harness,
) -> None:
    said = await second_upload(harness)
    (session,) = await sessions(harness)
    assert said is not None
    assert said.startswith(
        f"other_patient: Session {session['id']} holds the same bytes and is of patient P007, "
        "but this path names P008."
    )
    object_id = await object_of(harness, "P008/a.c3d")
    assert said.endswith(f"c3d-worker retake {object_id}")


async def test_it_is_gone_from_the_overview_once_its_object_is_deleted(harness: Harness) -> None:
    assert await second_upload(harness)
    bucket = harness.connection.supabase.storage.from_(DEFAULT_BUCKET)
    await bucket.remove(["P008/a.c3d"])
    assert await harness.database.fetchval(SAID, OF_ANOTHER) is None


async def test_it_is_gone_from_the_overview_once_the_session_is_that_patients(
    harness: Harness,
) -> None:
    assert await second_upload(harness)
    await harness.database.execute("update public.therapy_sessions set patient_id = 'P008'")
    await intake_of(harness).queue.retake_named("P008/a.c3d", dry_run=False)
    await sweep_of(harness).sweep()
    assert await harness.database.fetchval(SAID, OF_ANOTHER) is None


async def test_a_second_upload_of_the_same_patient_is_no_mix_up(harness: Harness) -> None:
    await harness.upload(RECORDING, "P007/a.c3d")
    await sweep_of(harness).sweep()
    await harness.upload(RECORDING, "P007/b.c3d")
    await harness.upload(RECORDING, "c.c3d")
    await sweep_of(harness).sweep()
    assert set((await details(harness)).values()) == {None}


async def test_ingest_says_whose_known_bytes_are_and_fails_where_that_is_another(
    harness: Harness, tmp_path: Path
) -> None:
    (tmp_path / "a.c3d").write_bytes(RECORDING)
    ingest = ("ingest", "a.c3d", "--patient")
    assert (await command(harness.stack, tmp_path, *ingest, "P007"))[0] == 0
    code, printed, _ = await command(harness.stack, tmp_path, *ingest, "P007")
    assert (code, "known already" in printed, "of patient P007" in printed) == (0, True, True)
    code, printed, _ = await command(harness.stack, tmp_path, *ingest, "P008")
    assert code == 1
    assert "of patient P007, not P008" in printed


async def test_what_has_no_patient_is_told_by_ingest_and_listed_by_status(
    harness: Harness, tmp_path: Path
) -> None:
    (tmp_path / "p012_session.c3d").write_bytes(numbered(12))
    code, printed, _ = await command(harness.stack, tmp_path, "ingest", "p012_session.c3d")
    assert code == 0
    assert printed.endswith("no patient. Set its patient_id as its path names none.\n")
    again = ("ingest", "p012_session.c3d", "--patient", "P012")
    code, printed, _ = await command(harness.stack, tmp_path, *again)
    assert (code, printed.endswith("no patient. Set its patient_id to P012.\n")) == (1, True)
    await second_upload(harness)
    _, printed, _ = await command(harness.stack, tmp_path, "status")
    nobodys, anothers = printed.split("without a patient")[1].split("of another patient")
    assert "p012_session.c3d" in nobodys
    assert "P007" not in nobodys
    assert "P008/a.c3d" in anothers
