"""A session whose row refuses to be changed is set aside, and costs no other session anything."""

from __future__ import annotations

import time
from typing import Final
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.integration.databases import Connection
from tests.integration.queue_calls import (
    MAX_ATTEMPTS,
    add,
    backdate,
    claim,
    complete,
    extend,
    fail,
    held,
    release,
    requeue,
    row,
)
from tests.integration.refusing_rows import (
    ASSERTS,
    RAISES,
    REFUSES,
    RULES,
    WEAR_OUT,
    aside,
    look,
    poisoned,
    wait_over,
)

MANY: Final = 1000


@pytest.mark.parametrize("rule", RULES)
async def test_a_row_that_refuses_costs_no_other_and_heals_when_the_rule_goes(
    owner: Connection, worker: Connection, rule: str
) -> None:
    sql, said = RULES[rule]
    bad = await poisoned(owner)
    good = [await add(owner) for _ in range(20)]
    await owner.execute(sql)
    assert set(await claim(worker, uuid4(), 21)) == set(good)

    found = await aside(owner, bad)
    assert found is not None
    assert found["reason"].startswith("row_refused: ")
    assert said in found["reason"]
    assert 50 < found["seconds"] <= 60
    assert (await row(owner, bad))["processing_status"] == "pending"
    line = await look(owner, bad)
    assert line["urgency"] == 2
    assert line["state"] == "set aside: its row refuses to be changed"
    assert line["what_to_do"] == found["reason"]

    await owner.execute(
        "drop function if exists refuse() cascade;"
        "alter table therapy_sessions drop constraint if exists two_columns"
    )
    assert await claim(worker, uuid4()) == []
    await wait_over(owner)
    claim_id = uuid4()
    assert await claim(worker, claim_id) == [bad]
    assert await aside(owner, bad) is None
    assert await complete(worker, bad, claim_id) == "completed"


async def test_a_row_that_goes_on_refusing_is_attempted_ever_more_seldom(
    owner: Connection, worker: Connection
) -> None:
    bad = await poisoned(owner)
    await owner.execute(RULES["a trigger raises"][0])
    waits = []
    for _ in range(9):
        await claim(worker, uuid4())
        found = await aside(owner, bad)
        assert found is not None
        waits.append(round(found["seconds"] / 60))
        await wait_over(owner)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize("rule", ["a trigger raises", "a trigger skips"])
async def test_a_thousand_rows_that_refuse_at_the_head_of_the_queue_keep_back_nobody(
    owner: Connection, worker: Connection, rule: str
) -> None:
    await owner.execute(
        "insert into therapy_sessions (file_path, file_hash, file_size_bytes, original_filename, "
        "patient_id, processing_due_at) "
        "select n || '.c3d', 'hash ' || n, 1, n || '.c3d', 'P7', now() - interval '1 hour' "
        "from generate_series(1, $1::integer) as n",
        MANY,
    )
    good = {await add(owner) for _ in range(20)}
    await owner.execute(RULES[rule][0])
    began = time.monotonic()
    claimed = set[UUID]()
    while claimed < good:
        claimed |= set(await claim(worker, uuid4(), 4))
    assert claimed == good
    assert time.monotonic() - began < 10.0
    assert await owner.fetchval("select count(*) from set_aside") == MANY
    (report,) = await worker.fetch("select * from queue_report()")
    assert (report["set_aside"], report["due"], report["oldest_due_age_seconds"]) == (MANY, 0, None)


async def test_the_largest_number_of_attempts_simply_works(
    owner: Connection, worker: Connection
) -> None:
    for end in (complete, fail):
        session = await add(owner, processing_attempts=2**31 - 1)
        claim_id = uuid4()
        assert await claim(worker, claim_id) == [session]
        assert (await row(owner, session))["processing_attempts"] == 2**31 - 1
        assert await end(worker, session, claim_id) in {"completed", "failed"}


@pytest.mark.parametrize("does", [RAISES, ASSERTS, "return null;"])
async def test_a_row_that_refuses_to_fail_says_so_beside_the_queue(
    owner: Connection, worker: Connection, does: str
) -> None:
    session, claim_id = await held(owner, patient_id="P7")
    await owner.execute(REFUSES.format(does=does, when="new.processing_status = 'failed'"))
    assert await fail(worker, session, claim_id) == "set_aside"
    found = await aside(owner, session)
    assert found is not None
    assert (await look(owner, session))["what_to_do"] == found["reason"]
    await backdate(owner, session, 1)  # its lease
    assert await claim(worker, uuid4()) == []


@pytest.mark.parametrize("does", [RAISES, ASSERTS, "return null;"])
async def test_a_row_that_refuses_to_fail_in_its_last_attempt_stops_no_claim(
    owner: Connection, worker: Connection, does: str
) -> None:
    session, _ = await held(owner, patient_id="P7", processing_attempts=MAX_ATTEMPTS - 1)
    await backdate(owner, session, 1)
    await owner.execute(REFUSES.format(does=does, when="new.processing_status = 'failed'"))
    good = await add(owner)
    assert await claim(worker, uuid4()) == [good]
    assert await aside(owner, session) is not None
    (report,) = await worker.fetch("select * from queue_report()")
    assert (report["stuck"], report["set_aside"]) == (0, 1)


async def test_an_abandoned_session_whose_row_refuses_keeps_back_no_other_abandoned_one(
    owner: Connection, worker: Connection
) -> None:
    sessions = [await add(owner, patient_id=patient) for patient in ("P7", "P8")]
    await claim(owner, uuid4())
    for session, seconds in zip(sessions, (60, 30), strict=True):
        await backdate(owner, session, seconds)
    await owner.execute(RULES["a trigger raises"][0])
    assert await claim(worker, uuid4()) == []  # one at a time: the first one refused
    assert await claim(worker, uuid4()) == [sessions[1]]


@pytest.mark.parametrize("does", [RAISES, ASSERTS, "return null;"])
async def test_a_row_that_refuses_its_completion_costs_no_other_and_says_why(
    owner: Connection, worker: Connection, does: str
) -> None:
    session, claim_id = await held(owner, patient_id="P7")
    await owner.execute(REFUSES.format(does=does, when="new.processing_status = 'completed'"))
    with pytest.raises(asyncpg.PostgresError):
        await complete(worker, session, claim_id)
    assert (await row(owner, session))["processing_status"] == "processing"
    assert await owner.fetchval("select count(*) from c3d_technical_data") == 0


@pytest.mark.parametrize("rule", ["a trigger raises", "a trigger asserts"])
async def test_a_row_that_refuses_its_release_or_its_lease_keeps_back_no_other(
    owner: Connection, worker: Connection, rule: str
) -> None:
    bad, good = await add(owner, patient_id="P7"), await add(owner)
    claim_id = uuid4()
    await claim(owner, claim_id)
    await owner.execute(RULES[rule][0])
    assert await extend(worker, [claim_id], [bad, good]) == {bad: False, good: True}
    assert await release(worker, [claim_id], [bad, good]) == [good]
    assert await aside(owner, bad) is not None


async def test_a_person_who_requeues_it_has_it_attempted_at_once(
    owner: Connection, worker: Connection
) -> None:
    bad = await poisoned(owner)
    await owner.execute(RULES["a trigger raises"][0])
    await claim(worker, uuid4())
    await owner.execute("drop function refuse() cascade")
    assert await claim(worker, uuid4()) == []
    assert await requeue(worker, bad) == "pending"
    assert await claim(worker, uuid4()) == [bad]


@pytest.mark.parametrize("rule", ["a trigger raises", "a trigger asserts"])
async def test_of_many_that_are_requeued_one_that_refuses_keeps_back_no_other(
    owner: Connection, worker: Connection, rule: str
) -> None:
    for patient in ("P7", "P8", "P9"):
        await add(owner, patient_id=patient, processing_status="failed")
    await owner.execute(RULES[rule][0])
    (done,) = await worker.fetch("select * from requeue_sessions('failed', 'why')")
    assert done["requeued"] == 2
    (after,) = await worker.fetch(
        "select * from requeue_sessions('failed', 'why', after_session => $1)",
        done["last_session"],
    )
    assert (after["requeued"], after["last_session"]) == (0, None)


@pytest.mark.parametrize("state", ["53100", "40P01", "57P01", "25006", "08006"])
async def test_trouble_of_the_server_sets_nothing_aside(
    owner: Connection, worker: Connection, state: str
) -> None:
    await poisoned(owner)
    await owner.execute(
        REFUSES.format(does=f"raise exception 'Away.' using errcode = '{state}';", when="true")
    )
    with pytest.raises(asyncpg.PostgresError):
        await claim(worker, uuid4())
    assert await owner.fetchval("select count(*) from set_aside") == 0


@pytest.mark.parametrize("state", ["XX000", "XX001", "58030", "55P03", "55006"])
@pytest.mark.parametrize("worn_out", [False, True])
async def test_what_one_row_alone_raises_sets_it_aside_however_bad_it_sounds(
    owner: Connection, worker: Connection, state: str, *, worn_out: bool
) -> None:
    bad = await poisoned(owner)
    if worn_out:
        await owner.execute(WEAR_OUT, bad, MAX_ATTEMPTS)
    good = await add(owner)
    await owner.execute(
        REFUSES.format(does=f"raise exception 'Damaged.' using errcode = '{state}';", when="true")
    )
    assert await claim(worker, uuid4()) == [good]
    found = await aside(owner, bad)
    assert found is not None
    assert f"Damaged ({state})" in found["reason"]


async def test_no_worker_died_of_the_refusals_of_a_row(
    owner: Connection, worker: Connection
) -> None:
    bad = await poisoned(owner)
    await owner.execute(WEAR_OUT, bad, MAX_ATTEMPTS)
    await owner.execute("select set_aside_session($1, 'P0001', 'not this one')", bad)
    assert await claim(worker, uuid4()) == []
    await wait_over(owner)
    assert await claim(worker, uuid4(), with_abandoned=False) == []
    assert await claim(worker, uuid4()) == [bad]
    found = await row(owner, bad)
    assert (found["processing_attempts"], found["processing_abandoned"]) == (1, True)
    assert await aside(owner, bad) is None
