"""What a person sees in the dashboard: the order of urgency, words for states, words everywhere."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.integration.databases import Connection, execute
from tests.integration.queue_calls import (
    add,
    backdate,
    claim,
    complete,
    fail,
    held,
    requeue,
    row,
)

UNCOMMENTED = """
select 'relation ' || c.oid::regclass as name
from pg_class as c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
  and obj_description(c.oid, 'pg_class') is null
union all
select 'column ' || a.attrelid::regclass || '.' || a.attname
from pg_attribute as a join pg_class as c on c.oid = a.attrelid
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
  and a.attnum > 0 and not a.attisdropped and col_description(a.attrelid, a.attnum) is null
union all
select 'function ' || p.oid::regprocedure
from pg_proc as p
where p.pronamespace = 'public'::regnamespace and obj_description(p.oid, 'pg_proc') is null
"""


async def waits_for(database: Connection, session: UUID, *, minutes: int) -> None:
    """Let a worker have been able to read the session for some minutes."""
    await database.execute(
        "update therapy_sessions set processing_queued_at = now() - make_interval(mins => $2) "
        "where id = $1",
        session,
        minutes,
    )


async def seen(database: Connection, session: UUID) -> dict[str, Any]:
    """Return the session's line of the overview."""
    found = await database.fetchrow("select * from session_overview where session_id = $1", session)
    assert found is not None
    return dict(found)


async def test_everything_has_words_for_people(database: Connection) -> None:
    assert await database.fetch(UNCOMMENTED) == []


async def test_the_columns_stand_in_the_order_a_person_reads_them(database: Connection) -> None:
    await add(database)
    (line,) = await database.fetch("select * from session_overview")
    assert list(line.keys()) == [
        "urgency",
        "state",
        "patient",
        "file",
        "what_to_do",
        "channels",
        "rate_hz",
        "duration",
        "channel_names",
        "attempts",
        "waiting_since",
        "next_attempt_at",
        "uploaded_at",
        "read_at",
        "file_path",
        "session_id",
        "signal",
        "preview",
    ]


async def test_what_needs_somebody_comes_first_and_the_newest_first_within(
    database: Connection,
) -> None:
    completed, claim_id = await held(database)
    await complete(database, completed, claim_id)
    reading, _ = await held(database)
    stuck, _ = await held(database)
    failed, claim_id = await held(database)
    await fail(database, failed, claim_id)
    failed_later, claim_id = await held(database)
    await fail(database, failed_later, claim_id)
    unnoticed = await add(database)
    skipped = await add(database, processing_status="skipped")
    retried, claim_id = await add(database), uuid4()
    await backdate(database, retried, 1)
    await claim(database, claim_id, 1)
    await fail(database, retried, claim_id, retry_seconds=600)
    waiting = await add(database)
    await waits_for(database, unnoticed, minutes=6)
    await backdate(database, stuck, 3600)
    lines = await database.fetch("select urgency, session_id, state from session_overview")
    assert [tuple(line) for line in lines] == [
        (1, failed_later, "failed"),
        (1, failed, "failed"),
        (2, waiting, "waiting"),
        (2, retried, "waiting for its next attempt"),
        (2, unnoticed, "stuck: no worker reads it"),
        (3, stuck, "stuck: its worker stopped"),
        (3, reading, "being read"),
        (4, completed, "completed"),
        (5, skipped, "skipped: no recording to read"),
    ]


async def test_the_dashboards_own_order_reads_an_index_and_sorts_nothing(
    database: Connection, queue_url: str
) -> None:
    await database.execute(
        "insert into therapy_sessions "
        "(file_path, file_hash, file_size_bytes, original_filename, processing_status) "
        "select n || '.c3d', 'hash ' || n, n, n || '.c3d', "
        "(array['completed', 'completed', 'failed', 'pending'])[1 + n % 4] "
        "from generate_series(1, 5000) as n"
    )
    await execute(queue_url, "analyze therapy_sessions")
    plan = await database.fetch(
        "explain select * from session_overview order by urgency nulls first limit 100"
    )
    said = "\n".join(line[0] for line in plan)
    assert "Index Scan using therapy_sessions_urgency" in said
    assert "Seq Scan on therapy_sessions" not in said
    assert "Sort" not in said


async def test_a_session_that_trouble_puts_off_again_and_again_is_stuck_after_five_minutes(
    database: Connection,
) -> None:
    """Each release moves its due time, so that says nothing of how long it has been waiting."""
    session = await add(database)
    why = "disk_full: The temporary folder takes no more bytes. Free space there."
    await waits_for(database, session, minutes=4)
    for _ in range(2):
        claim_id = uuid4()
        await claim(database, claim_id)
        await database.execute(
            "select release_sessions(array[$1::uuid], array[$2::uuid], 0, $3)",
            claim_id,
            session,
            why,
        )
        line = await seen(database, session)
        if line["state"] == "waiting":
            assert line["what_to_do"].startswith(f"{why} Waiting since ")
            await waits_for(database, session, minutes=6)
    assert line["state"] == "stuck: no worker reads it"
    assert line["what_to_do"].endswith(why)
    assert "c3d-worker run" in line["what_to_do"]
    assert line["attempts"] == 0


async def test_a_session_whose_next_attempt_has_just_come_is_not_stuck(
    database: Connection,
) -> None:
    session, claim_id = await held(database)
    await fail(database, session, claim_id, retry_seconds=0)
    await waits_for(database, session, minutes=60)
    assert (await seen(database, session))["state"] == "waiting"
    await backdate(database, session, 90)
    assert (await seen(database, session))["state"] == "stuck: no worker reads it"


async def test_a_requeued_session_waits_since_it_was_requeued(database: Connection) -> None:
    session, claim_id = await held(database)
    await waits_for(database, session, minutes=60)
    await fail(database, session, claim_id)
    await requeue(database, session)
    line = await seen(database, session)
    assert line["state"] == "waiting"
    assert line["waiting_since"] == (await row(database, session))["processing_queued_at"]


async def test_a_session_from_before_the_queue_waits_since_it_was_created(
    database: Connection,
) -> None:
    session = await add(database, processing_queued_at=None)
    found = await row(database, session)
    assert (await seen(database, session))["waiting_since"] == found["created_at"]


async def test_a_completed_session_shows_its_recording(database: Connection) -> None:
    session, claim_id = await held(database, patient_id="P005", original_filename="a.c3d")
    await complete(database, session, claim_id)
    line = await seen(database, session)
    assert (line["patient"], line["file"]) == ("P005", "a.c3d")
    assert (line["channels"], line["rate_hz"], line["duration"]) == (2, 990.0, "1 min 15 s")
    assert line["channel_names"] == ["CH1 Raw", ""]
    assert line["what_to_do"] is None
    assert line["waiting_since"] is None
    assert line["read_at"] is not None


@pytest.mark.parametrize(
    ("technical", "said"),
    [
        ({"original_duration_seconds": 0.04}, "0.0 s"),
        ({"original_duration_seconds": 59.94}, "59.9 s"),
        ({"original_duration_seconds": 59.97}, "1 min 0 s"),
        ({"original_duration_seconds": 3599.9}, "1 h 0 min"),
        ({"original_duration_seconds": 7384}, "2 h 3 min"),
        ({"duration_seconds": 75.03}, "1 min 15 s"),
        ({"original_duration_seconds": 1e30}, None),
        ({"original_duration_seconds": "NaN"}, None),
        ({}, None),
    ],
)
async def test_a_duration_is_said_as_people_say_it(
    database: Connection, technical: dict[str, Any], said: str | None
) -> None:
    session, claim_id = await held(database)
    await complete(database, session, claim_id, technical=technical)
    assert (await seen(database, session))["duration"] == said


async def test_a_failed_session_says_why_and_what_to_type(database: Connection) -> None:
    session, claim_id = await held(database)
    await fail(database, session, claim_id)
    said = (await seen(database, session))["what_to_do"]
    assert said.startswith("object_missing: No such file. ")
    assert said.endswith(f"c3d-worker requeue {session}")


async def test_a_session_that_another_program_set_to_failed_says_so(database: Connection) -> None:
    session = await add(database, processing_status="failed")
    said = (await seen(database, session))["what_to_do"]
    assert said.startswith("Another program set it to failed. To have it read:")


async def test_a_stuck_session_asks_for_a_worker(database: Connection) -> None:
    session, _ = await held(database)
    await backdate(database, session, 600)
    line = await seen(database, session)
    assert "c3d-worker run" in line["what_to_do"]
    assert line["attempts"] == 1


async def test_a_waiting_session_says_since_when_and_until_when(database: Connection) -> None:
    session, claim_id = await held(database)
    await fail(database, session, claim_id, retry_seconds=600)
    found, line = await row(database, session), await seen(database, session)
    assert line["waiting_since"] == found["processing_queued_at"]
    assert line["next_attempt_at"] == found["processing_due_at"]
    assert line["what_to_do"].startswith("object_missing: No such file. Waiting since ")


async def test_a_requeued_session_says_why(database: Connection) -> None:
    session, claim_id = await held(database)
    await fail(database, session, claim_id)
    await requeue(database, session)
    said = (await seen(database, session))["what_to_do"]
    assert said.startswith("requeued: a new reader. Waiting since ")


async def test_a_session_whose_values_came_from_the_old_system_was_not_read(
    database: Connection,
) -> None:
    session = await add(database, processing_status="completed")
    await database.execute(
        "insert into c3d_technical_data (session_id, sampling_rate, extracted_at) "
        "values ($1, 33, null)",
        session,
    )
    line = await seen(database, session)
    assert (line["state"], line["read_at"], line["duration"]) == ("completed", None, None)
