"""Where taking over an old table would lose or bend a value it stops, changes nothing, says why."""

from __future__ import annotations

import pytest

from tests.conftest import CreateDatabase
from tests.integration.databases import execute, rows
from tests.integration.legacy_shapes import CONTENT_HASH, INCOMPLETE, JSON_NAMES, TWO_SPELLINGS
from tests.integration.migrating import apply, push, refused, stopped
from worker.local.packages import Packages


@pytest.mark.parametrize(
    ("dependent", "named"),
    [
        ("create view public.rates as select frame_count from therapy_sessions", "view rates"),
        (
            "create materialized view public.kept as select frame_count from therapy_sessions",
            "materialized view kept",
        ),
        (
            "create policy measured on therapy_sessions using (frame_count > 0)",
            "policy measured on table therapy_sessions",
        ),
        (
            "alter table therapy_sessions add two int generated always as (frame_count * 2) stored",
            "column two",
        ),
    ],
)
async def test_what_still_reads_an_old_column_stops_the_migration_by_its_name(
    blank_database: CreateDatabase, dependent: str, named: str
) -> None:
    url = await blank_database()
    await execute(url, JSON_NAMES)
    await execute(url, dependent)
    before = await rows(url, "select * from therapy_sessions order by id")
    message = await stopped(url)
    assert named in message
    assert "join c3d_technical_data" in message
    assert await rows(url, "select * from c3d_technical_data") == []
    for old, new in zip(
        before, await rows(url, "select * from therapy_sessions order by id"), strict=True
    ):
        assert str(new) == str({**new, **old})  # as text: NaN is not equal to itself


async def test_a_stopped_push_leaves_the_old_columns_and_goes_on_once_the_view_is_gone(
    blank_database: CreateDatabase, packages: Packages
) -> None:
    url = await blank_database()
    await execute(url, JSON_NAMES)
    await execute(url, "create view public.rates as select frame_count from therapy_sessions")
    assert "- view rates depends on column frame_count" in refused(url, packages)
    await execute(url, "drop view public.rates")
    push(url, packages)
    assert len(await rows(url, "select * from c3d_technical_data")) == 3


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("original_sampling_rate double precision", "1e300", "1e+300"),
        ("original_duration_seconds numeric", "1e-60", "real unchanged"),
        ("frame_count bigint", "2147483648", "2147483648"),
        ("frame_count double precision", "2476.5", "2476.5"),
        ("channel_count text", "'four'", "four"),
        ("channel_names jsonb", """'[{"name": "CH1"}]'""", "CH1"),
        ("channel_names jsonb", """'[["CH1"]]'""", "CH1"),
        ("channel_names jsonb", """'{"0": "CH1"}'""", "CH1"),
        ("channel_names text", "'CH1, CH2'", "CH1, CH2"),
    ],
)
async def test_a_value_that_fits_only_when_bent_stops_the_migration(
    migrated_database: str, column: str, value: str, said: str
) -> None:
    name = column.partition(" ")[0]
    await execute(
        migrated_database,
        "insert into therapy_sessions (file_path, file_hash, file_size_bytes, original_filename) "
        f"values ('a', 'a', 1, 'a'); alter table therapy_sessions add column {column};"
        f"update therapy_sessions set {name} = {value}",
    )
    message = await stopped(migrated_database)
    assert f"{name}: 1 values of type" in message
    assert said in message


async def test_a_trigger_that_changes_moved_values_is_noticed_before_anything_is_dropped(
    migrated_database: str,
) -> None:
    await execute(
        migrated_database,
        "insert into therapy_sessions (file_path, file_hash, file_size_bytes, original_filename) "
        "values ('a', 'a', 1, 'a'); alter table therapy_sessions add column frame_count integer;"
        "update therapy_sessions set frame_count = 2476;"
        "create function spoil() returns trigger language plpgsql as "
        "$$ begin new.frame_count := 1; return new; end $$;"
        "create trigger spoil before insert on c3d_technical_data "
        "for each row execute function spoil()",
    )
    assert "only 0 read back unchanged" in await stopped(migrated_database)
    assert await rows(migrated_database, "select frame_count from therapy_sessions") == [
        {"frame_count": 2476}
    ]


async def test_what_nobody_can_make_up_stops_the_migration_with_counts_and_cures(
    blank_database: CreateDatabase, packages: Packages
) -> None:
    url = await blank_database()
    await execute(url, INCOMPLETE)
    message = refused(url, packages)
    assert "1 of 4 sessions have no file_path: fill it or delete them" in message
    assert "1 of 4 sessions have no file_hash" in message
    assert "2 of 4 sessions share their file_hash with another" in message
    assert "4 sessions need a file_size_bytes and there is no such column" in message
    assert "original_filename" not in message  # the path gives it
    assert "patient_id" not in message  # uuid stays uuid
    assert await rows(url, "select to_regclass('c3d_technical_data') as made") == [{"made": None}]


async def test_an_id_that_is_no_uuid_is_told_without_an_impossible_cure(
    blank_database: CreateDatabase,
) -> None:
    url = await blank_database()
    await execute(url, "create table therapy_sessions (id bigint primary key, file_path text)")
    message = await stopped(url)
    assert "id is bigint and has to be uuid, because everything refers to it." in message
    assert "alter column id" not in message


async def test_the_cures_of_the_message_work(blank_database: CreateDatabase) -> None:
    url = await blank_database()
    await execute(url, INCOMPLETE)
    await stopped(url)
    await execute(
        url,
        """
        delete from public.therapy_sessions where file_path is null or file_hash is null;
        delete from public.therapy_sessions where file_path = 'b.c3d';
        alter table public.therapy_sessions add column file_size_bytes integer;
        update public.therapy_sessions set file_size_bytes = 1;
        update public.therapy_sessions
          set original_filename = regexp_replace(file_path, '^.*/', '')
          where original_filename is null;
        alter table public.therapy_sessions alter column patient_id drop default,
          alter column patient_id type text using patient_id::text::text;
        """,
    )
    await apply(url)
    assert await rows(url, "select file_path, processing_status from therapy_sessions") == [
        {"file_path": "a.c3d", "processing_status": "pending"}
    ]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("create view public.therapy_sessions as select 1 as id", "is not a table"),
        (
            "create table public.c3d_technical_data (id uuid primary key, session_id uuid)",
            "several rows for one session",
        ),
        (
            "create table public.c3d_technical_data (session_id uuid unique, channel_names json)",
            "not text[]",
        ),
    ],
)
async def test_tables_of_another_kind_stop_the_migration_with_a_cure(
    blank_database: CreateDatabase, shape: str, said: str
) -> None:
    url = await blank_database()
    await execute(url, shape)
    message = await stopped(url)
    assert said in message
    assert "push again" in message


async def test_one_content_in_two_spellings_stops_the_migration(
    blank_database: CreateDatabase,
) -> None:
    url = await blank_database()
    await execute(url, TWO_SPELLINGS)
    message = await stopped(url)
    assert "2 of 4 sessions share their file_hash with another" in message
    (shared,) = await rows(url, message.partition("keep one of each, ")[2].removesuffix("."))
    assert (shared["lower"], len(shared["array_agg"])) == (CONTENT_HASH, 2)
    await execute(url, "delete from therapy_sessions where file_path = 'P005/lower.c3d'")
    await apply(url)
    hashes = {row["file_hash"] for row in await rows(url, "select file_hash from therapy_sessions")}
    assert hashes == {CONTENT_HASH, "path:A", "path:a"}
