"""What `c3d-worker check` finds of a session that is tried, and of the uploads that lie about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.checking import broken, found_in, verdicts
from tests.integration.command_line import command
from tests.integration.harness import Harness, harness_of
from tests.integration.rules import TABLE
from worker.check.findings import Check, Verdict
from worker.local.stack import StackInfo

UPLOAD = """
insert into public.storage_intake
  (object_id, version, bucket_id, object_path, outcome, detail, due_at, taken_at)
values (
  gen_random_uuid(), '1', 'c3d-files', 'P005/a.c3d', $1, $2,
  case when $1 = 'waiting' then now() end, case when $1 <> 'waiting' then now() end
)
"""


@pytest.fixture
async def apart(own_stack: StackInfo) -> AsyncIterator[Harness]:
    """A harness on the stack that is broken and mended, emptied afterwards."""
    async with harness_of(own_stack) as opened:
        yield opened
        await opened.database.execute("truncate public.therapy_sessions cascade")


async def test_a_required_patient_is_a_warning_with_the_statement_that_cures_it(
    own_stack: StackInfo,
) -> None:
    async with broken(
        own_stack,
        f"alter table {TABLE} alter column patient_id set not null",
        f"alter table {TABLE} alter column patient_id drop not null",
    ):
        found = await found_in(own_stack)
    assert verdicts(found) == {Check.TRIAL: Verdict.WARNING}
    (line,) = found[Check.TRIAL]
    assert "waits" in line.said
    assert f"alter table {TABLE} alter column patient_id drop not null;" in line.cure


async def test_a_session_that_cannot_be_completed_names_the_rule(own_stack: StackInfo) -> None:
    async with broken(
        own_stack,
        "alter table public.c3d_technical_data add column reviewer text not null",
        "alter table public.c3d_technical_data drop column reviewer",
    ):
        (line,) = (await found_in(own_stack))[Check.TRIAL]
    assert line.verdict is Verdict.BAD
    assert line.said.startswith("A session cannot be completed. ")
    assert "reviewer" in line.said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return null;", "A session cannot be claimed. "),
        ("new.processing_claim := null; return new;", "A session cannot be completed. "),
    ],
)
async def test_a_trigger_that_skips_or_undoes_the_claim_is_found(
    own_stack: StackInfo, body: str, said: str
) -> None:
    async with broken(
        own_stack,
        f"""
        create function public.of_the_owner() returns trigger language plpgsql as $$
        begin {body} end $$;
        create trigger owners_rule before update on {TABLE} for each row
        when (old.processing_status = 'pending') execute function public.of_the_owner()
        """,
        "drop function public.of_the_owner() cascade",
    ):
        (line,) = (await found_in(own_stack))[Check.TRIAL]
    assert line.verdict is Verdict.BAD
    assert line.said.startswith(said)


async def test_uploads_refused_for_others_faults_are_told_with_the_command(
    apart: Harness, tmp_path: Path
) -> None:
    own = ("size_mismatch", "object_refused", "file_beyond_integer")
    for of in ("rejected", "rejected", *own):
        await apart.database.execute(UPLOAD, "refused", f"{of}: No.")
    code, printed, _ = await command(apart.stack, tmp_path, "check", MAX_FILE_MB="1")
    assert code == 0
    said = " ".join(printed.split())
    assert "Refused as rejected, which is not the fault of a file: 2." in said
    assert "c3d-worker retake --refused --code rejected" in said
    assert "size_mismatch" not in said  # their own


async def test_uploads_that_wait_are_told_by_code(apart: Harness) -> None:
    for awaited in ("path_held", "patient_unknown", "path_held"):
        await apart.database.execute(UPLOAD, "waiting", f"{awaited}: Not yet.")
    await apart.database.execute(UPLOAD, "waiting", None)
    found = await found_in(apart.stack)
    assert verdicts(found) == {Check.UPLOADS: Verdict.WARNING}
    (line,) = found[Check.UPLOADS]
    assert line.said == "Uploads wait: 2 for path_held, 1 for patient_unknown."
    assert "upload_overview" in line.cure


async def test_sessions_that_are_set_aside_are_told(apart: Harness) -> None:
    session = await apart.session(b"a recording", uploaded=False)
    await apart.database.execute("select set_aside_session($1, 'P0001', 'not this one')", session)
    found = await found_in(apart.stack)
    assert verdicts(found) == {Check.UPLOADS: Verdict.WARNING}
    assert found[Check.UPLOADS][0].said == "The rows of 1 sessions refuse to be changed."


async def test_without_the_functions_nothing_is_tried(own_stack: StackInfo) -> None:
    async with broken(
        own_stack,
        "alter function public.try_session() rename to hidden",
        "alter function public.hidden() rename to try_session",
    ):
        found = await found_in(own_stack)
    assert found[Check.TRIAL][0].verdict is Verdict.UNCHECKED
    assert found[Check.UPLOADS][0].verdict is Verdict.UNCHECKED
    async with asyncio.timeout(10.0):  # until PostgREST has read its schema anew
        while (await found_in(own_stack))[Check.TRIAL][0].verdict is not Verdict.GOOD:
            pass
