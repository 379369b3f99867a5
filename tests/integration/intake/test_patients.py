"""A patient who is entered after the upload: the session is there at once, and gets the patient."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from tests.faults.rules import say
from tests.integration.databases import connected
from tests.integration.harness import Harness
from tests.integration.rules import TABLE, trigger
from tests.integration.uploads import (
    behind,
    details,
    numbered,
    register,
    sessions,
    sweep_of,
    wait_over,
)

FILL = "^/rest/v1/rpc/fill_patients$"
IMMEDIATE, DEFERRED = "", "deferrable initially deferred"


@asynccontextmanager
async def patients(
    harness: Harness, *, checked: str = IMMEDIATE, readable: bool = True, required: bool = False
) -> AsyncIterator[None]:
    """Have a table of patients whom sessions refer to."""
    await harness.database.execute(
        f"""
        create table public.patients (code text primary key);
        {"grant select" if readable else "revoke all"} on public.patients
          {"to" if readable else "from"} service_role;
        alter table {TABLE} add constraint known_patient
          foreign key (patient_id) references public.patients (code) {checked};
        {f"alter table {TABLE} alter column patient_id set not null" if required else ""}
        """
    )
    try:
        yield
    finally:
        await harness.database.execute(
            f"alter table {TABLE} alter column patient_id drop not null;"
            f"drop table public.patients cascade; delete from {TABLE}"
        )


async def enter(harness: Harness, *codes: str) -> None:
    """Enter patients."""
    await harness.database.executemany(
        "insert into public.patients values ($1)", [(code,) for code in codes]
    )


async def codes(harness: Harness) -> list[tuple[str | None, str | None]]:
    """Return patient_id and patient_code of every session."""
    return [(row["patient_id"], row["patient_code"]) for row in await sessions(harness)]


@pytest.mark.parametrize("checked", [IMMEDIATE, DEFERRED])
@pytest.mark.parametrize("readable", [True, False])
async def test_an_upload_before_its_patient_has_its_session_at_once_and_the_patient_later(
    harness: Harness, *, checked: str, readable: bool
) -> None:
    sweep = sweep_of(harness)
    async with patients(harness, checked=checked, readable=readable):
        await enter(harness, "P006")
        await harness.upload(numbered(1), "P005/a.c3d")
        await harness.upload(numbered(2), "P006/a.c3d")
        assert await sweep.sweep() == 2
        assert sorted(await codes(harness), key=str) == [("P006", None), (None, "P005")]
        shown = await harness.database.fetch("select patient from session_overview")
        assert {row["patient"] for row in shown} == {"P005", "P006"}
        await enter(harness, "P007")
        await sweep.sweep()
        assert (None, "P005") in await codes(harness)
        await enter(harness, "P005")
        await sweep.sweep()
        assert sorted(await codes(harness), key=str) == [("P005", None), ("P006", None)]


async def test_where_a_patient_is_required_the_upload_waits_and_heals(harness: Harness) -> None:
    sweep = sweep_of(harness)
    async with patients(harness, required=True):
        await enter(harness, "P006")
        await harness.upload(numbered(1), "P005/a.c3d")
        await harness.upload(numbered(2), "P006/a.c3d")
        await harness.upload(numbered(3), "nobodys.c3d")
        assert await sweep.sweep() == 1
        told = await details(harness)
        assert str(told["P005/a.c3d"]).startswith(
            "patient_unknown: The patient that the path names is not entered yet"
        )
        assert str(told["nobodys.c3d"]).startswith("patient_unknown: The path names no patient")
        await enter(harness, "P005")
        await wait_over(harness)
        assert await sweep.sweep() == 1
        assert sorted(await codes(harness), key=str) == [("P005", None), ("P006", None)]
        assert {row[1] for row in await register(harness)} == {"session", "waiting"}


async def test_a_patient_given_by_hand_stays(harness: Harness) -> None:
    sweep = sweep_of(harness)
    async with patients(harness):
        await enter(harness, "P006")
        await harness.upload(numbered(1), "P005/a.c3d")
        await sweep.sweep()
        await harness.database.execute(f"update {TABLE} set patient_id = 'P006'")
        await enter(harness, "P005")
        await sweep.sweep()
        assert await codes(harness) == [("P006", None)]


@pytest.mark.parametrize("checked", [IMMEDIATE, DEFERRED])
async def test_a_recording_that_is_moved_before_its_new_patient_is_entered_waits_for_that_one(
    harness: Harness, *, checked: str
) -> None:
    sweep = sweep_of(harness)
    bucket = harness.connection.supabase.storage.from_(harness.bucket)
    async with patients(harness, checked=checked):
        await enter(harness, "P005")
        await harness.upload(numbered(1), "P005/a.c3d")
        await sweep.sweep()
        for patient in ("P006", "P007"):  # neither is entered
            await bucket.move(
                f"{'P005' if patient == 'P006' else 'P006'}/a.c3d", f"{patient}/a.c3d"
            )
            with capture_logs() as logged:
                assert await sweep.sweep() == 1
            assert "session_moved" in {each["event"] for each in logged}
            assert await codes(harness) == [(None, patient)]
        await enter(harness, "P006", "P007")
        await sweep.sweep()
        assert await codes(harness) == [("P007", None)]


async def test_sessions_that_cannot_be_filled_hold_up_no_others(harness: Harness) -> None:
    refusing = trigger(
        "if new.file_path like 'P001/%' then raise exception 'as it is'; end if;",
        when="before update",
    )
    async with patients(harness), refusing.on(harness):
        for number in range(4):
            await harness.upload(numbered(number), f"P00{number % 2 + 1}/{number}.c3d")
        assert await sweep_of(harness).sweep() == 4
        await enter(harness, "P001", "P002")
        await sweep_of(harness).sweep()
        filled = {row["file_path"]: row["patient_id"] for row in await sessions(harness)}
    assert filled == {
        "P001/0.c3d": None,
        "P002/1.c3d": "P002",
        "P001/2.c3d": None,
        "P002/3.c3d": "P002",
    }


async def test_a_patient_whom_somebody_has_locked_is_filled_later_and_stops_no_sweep(
    harness: Harness,
) -> None:
    sweep = sweep_of(harness)
    async with patients(harness), connected(harness.stack.database_url) as other:
        await harness.upload(numbered(1), "P005/a.c3d")
        await sweep.sweep()
        await enter(harness, "P005")
        async with other.transaction():
            await other.execute("select from public.patients for update")
            await harness.upload(numbered(2), "P006/a.c3d")
            assert await sweep.announce() == 1
            assert await codes(harness) == [(None, "P005")]
        await sweep.sweep()
        assert sorted(await codes(harness), key=str) == [("P005", None), (None, "P006")]


async def test_trouble_with_the_patients_undoes_no_announcement_and_is_logged(
    harness: Harness,
) -> None:
    async with patients(harness), behind(harness) as (proxy, sweep):
        await harness.upload(numbered(1), "P005/a.c3d")
        await sweep.sweep()
        await enter(harness, "P005")
        await harness.upload(numbered(2), "P006/a.c3d")
        with proxy.trouble(FILL, say(500, '{"code": "57014", "message": "canceled"}')) as rule:
            with capture_logs() as logged:
                assert await sweep.announce() == 1
            assert rule.hits == 1
        (event,) = [each for each in logged if each["event"] == "patients_not_filled"]
        assert (event["log_level"], event["code"]) == ("warning", "supabase_unavailable")
        assert (None, "P005") in await codes(harness)
        await sweep.sweep()
        assert ("P005", None) in await codes(harness)


async def test_a_sweep_asks_for_patients_only_where_sessions_wait_for_them(
    harness: Harness,
) -> None:
    async with behind(harness) as (proxy, sweep):
        await harness.upload(numbered(1), "P005/a.c3d")
        with proxy.trouble(FILL, say(500)) as rule:
            await sweep.sweep()
            await sweep.sweep()
        assert rule.hits == 0


async def test_patients_in_a_schema_that_the_worker_may_not_use_are_filled(
    harness: Harness,
) -> None:
    sweep = sweep_of(harness)
    await harness.database.execute("create schema closed")
    try:
        async with patients(harness):
            await harness.database.execute("alter table public.patients set schema closed")
            await harness.upload(numbered(1), "P005/a.c3d")
            await sweep.sweep()
            assert await codes(harness) == [(None, "P005")]
            await harness.database.execute("insert into closed.patients values ('P005')")
            with capture_logs() as logged:
                await sweep.announce()
            assert [each for each in logged if each["log_level"] != "debug"] == []
            assert await codes(harness) == [("P005", None)]
            await harness.database.execute("alter table closed.patients set schema public")
    finally:
        await harness.database.execute("drop schema closed cascade")
