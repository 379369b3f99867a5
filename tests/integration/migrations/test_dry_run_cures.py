"""What a dry run tells a person to execute can be executed as it was printed, and helps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.conftest import CreateDatabase
from tests.integration.databases import execute, rows
from tests.integration.dry_runs import IN_USE, dry_run, flat
from tests.integration.legacy_shapes import ARRAY_NAMES
from tests.integration.migrating import apply
from worker.commands.migrations import migration_files
from worker.dry_run.attempt import attempt
from worker.dry_run.migrations import Migration
from worker.dry_run.required import Required
from worker.local.stack import StackInfo

STATEMENT = re.compile(
    r"(?<=[:,] )(?:alter (?:table|view|function)|update) .+?(?=\.(?: |$)|, and push|, make)"
)
NEW_SESSION = """
insert into public.therapy_sessions (file_path, file_hash, file_size_bytes, original_filename)
values ('P007/new.c3d', '{}', 1, 'new.c3d')
"""
MANY_KINDS = """
create type public.side as enum ('left', 'right');
alter table public.therapy_sessions
  alter session_code set default gen_random_uuid()::text,
  alter processing_version set default '1',
  add "Side" public.side not null default 'left',
  add short varchar(8) not null unique default left(gen_random_uuid()::text, 8),
  add label varchar(4) not null default '',
  add weight numeric not null default 1,
  add checked boolean not null default true,
  add held_at timestamptz not null default now(),
  add key uuid not null unique default gen_random_uuid(),
  add tags text[] not null default '{}',
  add extra jsonb not null default '{}',
  add seen inet not null default '::1';
alter table public.therapy_sessions
  alter "Side" drop default, alter short drop default, alter label drop default,
  alter weight drop default, alter checked drop default, alter held_at drop default,
  alter key drop default, alter tags drop default, alter extra drop default,
  alter seen drop default;
"""


async def required_in(url: str) -> list[Required]:
    migrations = [Migration(file.name, file.read_text()) for file in migration_files()]
    return (await attempt(SecretStr(url), migrations)).required


SHAPES = {
    "somebody else's view": "create view session_overview as select 1 as one",
    "somebody else's table": "create table storage_intake (id integer)",
    "somebody else's report": """
      create function queue_report() returns integer language sql as 'select 1';
    """,
    "somebody else's function": """
      create function requeue_session(session uuid) returns text language sql as $$ select '' $$;
    """,
    "size as text": """
      alter table therapy_sessions drop column file_size_bytes;
      alter table therapy_sessions add file_size_bytes text default '16';
    """,
    "several rows": "create table c3d_technical_data (session_id uuid)",
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
async def test_the_cure_of_a_stop_can_be_executed_as_printed(
    stack: StackInfo, blank_database: CreateDatabase, tmp_path: Path, shape: str
) -> None:
    url = await blank_database()
    await execute(url, ARRAY_NAMES)
    await execute(url, shape)
    code, printed, _ = await dry_run(stack, url, tmp_path)
    assert code == 1
    stop = flat(printed.partition("What would stop")[2].partition("migrations after it")[0])
    assert ("20261124000100_therapy_sessions.sql" in stop) == (shape != SHAPES["several rows"])
    (cure,) = STATEMENT.findall(stop)
    await execute(url, cure)
    code, printed, _ = await dry_run(stack, url, tmp_path)
    assert code == 0, printed


async def test_a_required_column_that_stops_a_migration_is_cured_by_its_recipe(
    blank_database: CreateDatabase,
) -> None:
    url = await blank_database()
    await execute(url, ARRAY_NAMES)
    await execute(
        url, "create table c3d_technical_data (id uuid primary key, session_id uuid unique)"
    )
    migrations = [Migration(file.name, file.read_text()) for file in migration_files()]
    found = await attempt(SecretStr(url), migrations)
    assert found.stop
    assert 'null value in column "id"' in found.stop.said
    assert "CH1 Raw" not in found.stop.said  # no values of a row
    (column,) = found.required
    await execute(url, column.default)
    assert (await attempt(SecretStr(url), migrations)).stop is None


async def test_both_recipes_for_a_required_column_can_be_copied_from_the_terminal(
    stack: StackInfo, blank_database: CreateDatabase, tmp_path: Path
) -> None:
    url = await blank_database()
    await execute(url, IN_USE)
    _, printed, _ = await dry_run(stack, url, tmp_path)
    part = printed.partition("Columns that refuse a new row")[2].partition("What the migrations")[0]
    blocks = re.findall(r"(?:^ {4}.*\n)+", part, re.MULTILINE)
    assert len(blocks) == 4  # of session_code and processing_version
    await execute(url, blocks[1])
    await execute(url, blocks[2])
    code, printed, _ = await dry_run(stack, url, tmp_path)
    assert "Columns that refuse" not in printed
    assert code == 0, printed
    await apply(url)
    await execute(url, NEW_SESSION.format("c" * 64))
    (new,) = await rows(url, "select * from therapy_sessions where file_path = 'P007/new.c3d'")
    assert len(new["session_code"]) == 36
    assert new["processing_version"] == "unknown"


@pytest.mark.parametrize("recipe", ["default", "trigger"])
async def test_every_kind_of_column_gets_a_recipe_that_lets_sessions_in(
    blank_database: CreateDatabase, recipe: str
) -> None:
    url = await blank_database()
    await execute(url, IN_USE + MANY_KINDS)
    required = await required_in(url)
    names = [column.column for column in required]
    assert names == [
        *('"Side"', "short", "label", "weight", "checked"),
        *("held_at", "key", "tags", "extra", "seen"),
    ]
    for column in required:
        await execute(url, getattr(column, recipe if column.example else "default"))
    assert await required_in(url) == []
    await apply(url)
    await execute(url, NEW_SESSION.format("c" * 64))
    await execute(url, NEW_SESSION.format("d" * 64))
