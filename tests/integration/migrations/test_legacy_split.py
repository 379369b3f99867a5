"""Taking over an old `therapy_sessions`: no value lost, none invented, nothing half done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.conftest import CreateDatabase
from tests.integration.databases import connected, execute, rows
from tests.integration.legacy_shapes import (
    ARRAY_NAMES,
    CONTENT_HASH,
    JSON_NAMES,
    SPLIT_ALREADY,
    TECHNICAL_COLUMNS,
)
from tests.integration.migrating import MIGRATIONS, OURS, apply, push
from worker.local.packages import Packages

MOVED = f"""
select s.original_filename, {", ".join(f"t.{name}" for name in TECHNICAL_COLUMNS)}, t.extracted_at
from public.c3d_technical_data as t
join public.therapy_sessions as s on s.id = t.session_id
order by s.original_filename
"""
KEPT = """
select id, file_path, file_hash, file_size_bytes, patient_id, original_filename, game_metadata,
  processing_error_message, created_at, last_accessed_at
from public.therapy_sessions order by id
"""
NOTHING: dict[str, Any] = dict.fromkeys([*TECHNICAL_COLUMNS, "extracted_at"])


async def statuses(url: str) -> dict[str, str]:
    """Return the state of every session by its file."""
    found = await rows(url, "select original_filename, processing_status from therapy_sessions")
    return {row["original_filename"]: row["processing_status"] for row in found}


async def test_real_values_move_and_invented_ones_become_no_value(
    blank_database: CreateDatabase, packages: Packages
) -> None:
    url = await blank_database()
    await execute(url, JSON_NAMES)
    before = await rows(url, KEPT)
    push(url, packages)
    assert await rows(url, MOVED) == [
        {
            "original_filename": "full.c3d",
            "original_sampling_rate": 990.0,
            "original_duration_seconds": pytest.approx(75.03030303030303, rel=1e-7),
            "original_sample_count": 74280,
            "channel_count": 4,
            "channel_names": ["CH1 Raw", "", "", "CH2 Raw"],
            "sampling_rate": 33.0,
            "duration_seconds": pytest.approx(75.03, rel=1e-7),
            "frame_count": 2476,
            "extracted_at": None,
        },
        {**NOTHING, "original_filename": "names.c3d", "channel_names": ["EMG1"]},
        {**NOTHING, "original_filename": "some.c3d", "original_sampling_rate": 1000.5},
    ]
    assert await rows(url, KEPT) == before
    assert await statuses(url) == {
        "full.c3d": "completed",
        "some.c3d": "completed",
        "none.c3d": "pending",
        "names.c3d": "failed",
        "object.c3d": "pending",
        "word.c3d": "pending",
    }


async def test_arrays_of_names_and_missing_columns_move_too(
    blank_database: CreateDatabase, packages: Packages
) -> None:
    url = await blank_database()
    await execute(url, ARRAY_NAMES)
    push(url, packages)
    assert await rows(url, MOVED) == [
        {
            **NOTHING,
            "original_filename": "full.c3d",
            "channel_names": ["CH1 Raw", "", "CH2 Raw"],
            "sampling_rate": pytest.approx(59.94, rel=1e-7),
            "frame_count": 2476,
        }
    ]
    assert (await statuses(url))["empty.c3d"] == "pending"


async def test_the_old_columns_go_with_their_checks_and_indexes(
    blank_database: CreateDatabase,
) -> None:
    url = await blank_database()
    await execute(url, JSON_NAMES)
    await apply(url)
    left = await rows(
        url,
        "select column_name from information_schema.columns where table_schema = 'public' "
        "and table_name = 'therapy_sessions' and column_name = any ($1)",
        list(TECHNICAL_COLUMNS),
    )
    assert left == []
    size = await rows(
        url,
        "select data_type from information_schema.columns "
        "where table_name = 'therapy_sessions' and column_name = 'file_size_bytes'",
    )
    assert size == [{"data_type": "bigint"}]
    async with connected(url, role="service_role") as worker:
        claimed = await worker.fetch(
            "select file_size_bytes from claim_sessions(gen_random_uuid(), 9, 60, 5)"
        )
    assert {record[0] for record in claimed} == {18, 20, 21}


async def test_a_row_that_is_there_already_wins(migrated_database: str) -> None:
    await execute(
        migrated_database,
        "insert into therapy_sessions (file_path, file_hash, file_size_bytes, original_filename) "
        f"values ('a', '{CONTENT_HASH}', 1, 'a'), ('b', 'b', 1, 'b');"
        "insert into c3d_technical_data (session_id, frame_count) "
        "select id, 7 from therapy_sessions where file_path = 'a';"
        "alter table therapy_sessions add column frame_count bigint default 9",
    )
    await apply(migrated_database)
    assert [row["frame_count"] for row in await rows(migrated_database, MOVED)] == [7, 9]


async def test_old_states_become_pending_and_keep_what_they_said(
    blank_database: CreateDatabase, packages: Packages
) -> None:
    url = await blank_database()
    await execute(url, SPLIT_ALREADY)
    push(url, packages)
    found = {
        row["original_filename"]: (row["processing_status"], row["processing_error"] or "")
        for row in await rows(url, "select * from therapy_sessions")
    }
    assert found["read.c3d"] == ("completed", "")
    assert found["unread.c3d"] == ("pending", "")
    assert found["null.c3d"] == ("pending", "")
    assert found["held.c3d"] == ("processing", "")  # its writer has it for a day
    for name, said in (("again", "'reprocessing'"), ("odd", "'it''s odd'")):
        status, error = found[f"{name}.c3d"]
        assert status == "pending"
        assert error.startswith(f"legacy_status: The session said {said} ")
    async with connected(url, role="service_role") as worker:
        claimed = await worker.fetch("select * from claim_sessions(gen_random_uuid(), 9, 60, 5)")
    assert len(claimed) == 4


async def test_policies_and_grants_that_were_there_are_left_and_named(
    blank_database: CreateDatabase,
) -> None:
    url = await blank_database()
    await execute(url, SPLIT_ALREADY)
    notices: list[str] = []
    async with connected(url) as database:
        database.add_log_listener(lambda _, notice: notices.append(str(notice)))
        for name in OURS:
            await database.execute((MIGRATIONS / name).read_text())
        await asyncio.sleep(0)  # the loop calls the listener
    (kept,) = (notice for notice in notices if "left as they are" in notice)
    assert "- policy own_sessions on therapy_sessions" in kept
    assert "- select on therapy_sessions to authenticated" in kept
    assert await rows(url, "select policyname from pg_policies where schemaname = 'public'") == [
        {"policyname": "own_sessions"}
    ]
    assert await rows(
        url, "select has_table_privilege('authenticated', 'therapy_sessions', 'select') as may"
    ) == [{"may": True}]


async def test_a_recording_without_analog_channels_fits_an_old_technical_table(
    blank_database: CreateDatabase,
) -> None:
    url = await blank_database()
    await execute(url, SPLIT_ALREADY)
    await apply(url)
    await execute(url, "update c3d_technical_data set channel_count = 0")
    await execute(url, "update c3d_technical_data set channel_count = null")


async def test_a_content_hash_becomes_lower_case_and_any_other_text_stays(
    blank_database: CreateDatabase, packages: Packages
) -> None:
    url = await blank_database()
    await execute(url, JSON_NAMES)
    await execute(url, "update therapy_sessions set file_hash = upper(file_hash)")
    push(url, packages)
    hashes = [row["file_hash"] for row in await rows(url, "select file_hash from therapy_sessions")]
    assert hashes.count(CONTENT_HASH) == 1
    assert sum(text.startswith("PATH:") for text in hashes) == 5
