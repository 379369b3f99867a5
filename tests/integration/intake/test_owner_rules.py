"""A rule that the owner has on the table of sessions ends no upload: it waits, and is cured."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from tests.integration.checking import found_in
from tests.integration.harness import Harness, harness_of
from tests.integration.rules import REFUSING_ALL, TABLE, Rule, constraint, trigger
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
    wait_over,
)
from worker.backend.queued_uploads import Outcome
from worker.check.findings import Check, Verdict
from worker.errors import SchemaRefusesError
from worker.local.postgres import SUPERUSER, as_role
from worker.local.stack import StackInfo

UPLOADS = 3
SLOT = "select data from pg_logical_slot_get_binary_changes($1, null, null, 'proto_version', '1',"
SLOT += " 'publication_names', 'supabase_realtime')"
ONE_BY_ONE = trigger(
    "if new.file_path like '%/poison.c3d' then raise exception 'not this one'; end if;"
)
NO_UPDATES = [
    trigger("raise exception 'as it is';", "P0001", when="before update"),
    trigger("raise exception 'as it is';", "P0001", when="after update", deferred=True),
]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.queueing.claim_loop.INITIAL_PAUSE", 0.05)


@pytest.fixture(params=list(REFUSING_ALL.values()), ids=list(REFUSING_ALL))
def rule(request: pytest.FixtureRequest) -> Rule:
    """A rule that refuses every session."""
    found: Rule = request.param
    return found


async def test_a_rule_that_refuses_all_refuses_no_upload_and_cured_all_are_taken_in(
    harness: Harness, rule: Rule
) -> None:
    paths = [await harness.upload(numbered(number)) for number in range(UPLOADS)]
    sweep = sweep_of(harness)
    async with rule.on(harness):
        with pytest.raises(SchemaRefusesError):
            await sweep.sweep()
        assert await sessions(harness) == []
        assert sorted(await register(harness)) == sorted((path, "waiting", None) for path in paths)
        told = [each for each in (await details(harness)).values() if each]
        assert told
        for each in told:
            assert each.startswith("schema_refuses: ")
            assert each.count(SchemaRefusesError.cure) == 1
            assert [name for name in rule.names if name not in each] == []
    assert await sweep.sweep() == UPLOADS
    assert {row["file_path"] for row in await sessions(harness)} == set(paths)


async def test_a_refusal_names_the_table_that_it_comes_from(harness: Harness) -> None:
    explain = "select public.explain_refusal('23502', $1, 'code', '', '')"
    told = [await harness.database.fetchval(explain, table) for table in ("patients", "")]
    assert told == [
        f"The table {table} refuses the session (23502)."
        for table in ("patients", "therapy_sessions")
    ]


async def test_check_names_the_rule_before_the_first_upload(
    own_stack: StackInfo, rule: Rule
) -> None:
    async with harness_of(own_stack) as harness, rule.on(harness):
        async with asyncio.timeout(10.0):  # PostgREST reads its schema anew after each rule
            while (found := await found_in(own_stack))[Check.TRIAL][0].verdict is Verdict.UNCHECKED:
                pass
        (trial,) = found[Check.TRIAL]
        assert trial.verdict is Verdict.BAD, found
        assert [name for name in rule.names if name not in trial.said] == []
        assert trial.cure
        assert await sessions(harness) == []


async def test_a_trial_leaves_nothing_behind_and_publishes_nothing(own_stack: StackInfo) -> None:
    superuser = await asyncpg.connect(as_role(own_stack.database_url, SUPERUSER))
    try:
        await superuser.execute(
            "select pg_create_logical_replication_slot('of_a_test', 'pgoutput', true)"
        )
        async with harness_of(own_stack) as harness:
            made = await harness.database.fetch("select * from public.try_session()")
            assert [tuple(row) for row in made] == [(None, None, None)]
            assert await superuser.fetch(SLOT, "of_a_test") == []
            assert await sessions(harness) == []
            session = await harness.session(RECORDING, uploaded=False)
            assert await superuser.fetch(SLOT, "of_a_test") != []  # it would have been heard
            await harness.database.execute("delete from therapy_sessions where id = $1", session)
    finally:
        await superuser.close()


async def test_a_trial_that_somebody_locks_out_blames_no_rule(own_stack: StackInfo) -> None:
    async with harness_of(own_stack) as harness, harness.database.transaction():
        await harness.database.execute(f"lock table {TABLE} in exclusive mode")
        (trial,) = (await found_in(own_stack))[Check.TRIAL]
    assert trial.verdict is Verdict.BAD
    assert "lock timeout" in trial.said
    assert "rule" not in trial.said


async def test_a_running_worker_takes_all_in_once_the_rule_is_cured(
    harness: Harness, tmp_path: Path
) -> None:
    rule = REFUSING_ALL["a column that must not be empty"]
    async with harness.worker(tmp_path, BUCKET_SWEEP_SECONDS="1") as worker:
        async with rule.on(harness):
            for number in range(UPLOADS):
                await harness.upload(numbered(number))
            said = await worker.until("supabase_unavailable")
            assert said["code"] == "schema_refuses"
            assert "processing_version" in said["reason"]
            await worker.until("claiming_paused")
        for _ in range(UPLOADS):
            assert (await worker.until("object_taken"))["outcome"] == "session"


async def test_a_rule_that_refuses_one_upload_holds_up_no_other(
    harness: Harness, tmp_path: Path
) -> None:
    suspected: dict[str, str] = {}
    async with (
        ONE_BY_ONE.on(harness),
        harness.worker(tmp_path, BUCKET_SWEEP_SECONDS="1", CONCURRENCY="1") as worker,
    ):
        await harness.upload(numbered(0), "P001/poison.c3d")
        for number in range(1, 6):
            await harness.upload(numbered(number), f"P001/{number}.c3d")
            async for event in worker.follow(until="object_taken"):
                if event["event"] == "object_suspected":
                    suspected[event["object"]] = event["code"]
    poison = await object_of(harness, "P001/poison.c3d")
    assert suspected == {str(poison): "schema_refuses"}
    outcomes = {path: outcome for path, outcome, _ in await register(harness)}
    assert outcomes.pop("P001/poison.c3d") == "waiting"
    assert set(outcomes.values()) == {"session"}
    assert "owners_rule" in str((await details(harness))["P001/poison.c3d"])
    await wait_over(harness)
    assert await sweep_of(harness).sweep() == 1


async def test_an_overwrite_waits_where_a_path_has_one_session_and_for_which(
    harness: Harness,
) -> None:
    sweep, path = sweep_of(harness), await harness.upload(numbered(1), "P001/a.c3d")
    async with constraint("one_path", "unique (file_path)").on(harness):
        await sweep.sweep()
        (first,) = await sessions(harness)
        await overwrite(harness, path, numbered(2))
        assert await sweep.sweep() == 0
        waits = await harness.database.fetchrow(
            "select * from storage_intake where outcome = 'waiting'"
        )
        assert waits is not None
        assert waits["detail"].startswith(f"path_held: Session {first['id']} has this file_path")
        assert "one_path" in waits["detail"]
        await wait_over(harness)
        assert await sweep.sweep() == 0
        await harness.database.execute("delete from therapy_sessions")
        await wait_over(harness)
        assert await sweep.sweep() == 1
    (second,) = await sessions(harness)
    assert second["file_hash"] != first["file_hash"]


@pytest.mark.parametrize("no_updates", NO_UPDATES, ids=["at once", "deferred"])
async def test_a_session_that_does_not_let_itself_be_healed_is_healed_after_the_cure(
    harness: Harness, no_updates: Rule
) -> None:
    session = await harness.session(RECORDING, uploaded=False)
    await harness.database.execute(
        "update therapy_sessions set processing_status = 'failed',"
        " processing_error = 'object_missing: Gone.'"
    )
    path = await harness.upload(RECORDING, "P005/again.c3d")
    sweep = sweep_of(harness)
    async with no_updates.on(harness):
        assert await sweep.sweep() == 0
        detail = str((await details(harness))[path])
        assert detail.startswith(f"row_refused: Session {session} ")
        assert [name for name in no_updates.names if name not in detail] == []
    await wait_over(harness)
    assert await sweep.sweep() == 1
    row = await harness.row(session)
    assert (row["processing_status"], row["file_path"]) == ("pending", path)


@pytest.mark.parametrize("no_updates", NO_UPDATES, ids=["at once", "deferred"])
async def test_a_hit_that_cannot_be_counted_is_a_duplicate_all_the_same(
    harness: Harness, no_updates: Rule
) -> None:
    await harness.upload(RECORDING, "P005/a.c3d")
    sweep = sweep_of(harness)
    await sweep.sweep()
    await harness.upload(RECORDING, "P005/b.c3d")
    async with no_updates.on(harness):
        assert await sweep.sweep() == 1
    assert [row[1] for row in await register(harness)] == ["session", "duplicate"]


async def test_a_content_whose_session_went_between_two_steps_gets_a_new_one(
    harness: Harness,
) -> None:
    # As if another upload's session had been there at the insert, and was gone at the look-up.
    once = trigger(
        "if nextval('public.of_a_test') = 1 then raise unique_violation using"
        " constraint = 'therapy_sessions_file_hash_key', table = 'therapy_sessions'; end if;",
        more="create sequence public.of_a_test;"
        " grant usage on sequence public.of_a_test to service_role",
    )
    path = await harness.upload(RECORDING)
    try:
        async with once.on(harness):
            taken = await intake_of(harness).take_now(await object_of(harness, path))
    finally:
        await harness.database.execute("drop sequence public.of_a_test")
    assert taken is not None
    assert taken.outcome is Outcome.SESSION
