"""The snippets of the documentation run, and its page of columns knows every column."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from docs.run_snippets import DOCS, snippets
from tests.integration.databases import Connection, connected
from tests.integration.queue_calls import add, complete, fail, held

COLUMNS = """
select c.relname as relation, array_agg(a.attname::text order by a.attnum) as columns
from pg_class as c join pg_attribute as a on a.attrelid = c.oid
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
  and a.attnum > 0 and not a.attisdropped
group by c.relname
"""
STATISTICS = {"version": 1, "channels": [{"name": "CH1", "flat": True, "clipped": False}]}


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


async def _populate(database: Connection) -> None:
    """A session in each state that a snippet looks for, and an upload without one."""
    read, claim_id = await held(database, patient_id="P005", original_filename="read.c3d")
    await complete(database, read, claim_id)
    await database.execute(
        "update therapy_sessions set analytics_cache = $1 where id = $2",
        json.dumps({"channel_statistics": STATISTICS}),
        read,
    )
    failed, claim_id = await held(database, patient_id="P006")
    await fail(database, failed, claim_id)
    await database.execute(
        "update therapy_sessions set processing_error = 'file_too_large: no.' where id = $1",
        failed,
    )
    await add(database, analytics_cache="[1]")  # another program's
    await database.execute(
        "insert into storage.objects (bucket_id, name) values ('c3d-files', 'P005/new.c3d')"
    )


@pytest.mark.parametrize("snippet", snippets(), ids=lambda path: path.stem)
async def test_every_snippet_runs_and_finds_what_it_looks_for(
    migrated_database: str, snippet: Path
) -> None:
    sql = _read(snippet)
    async with connected(migrated_database) as database:
        await _populate(database)
        (row,) = await database.fetch(sql)
    assert row[0] is not None


async def test_every_column_has_its_line(migrated_database: str) -> None:
    page = _read(DOCS / "columns.md")
    async with connected(migrated_database) as database:
        relations = {each["relation"]: each["columns"] for each in await database.fetch(COLUMNS)}
    for relation, columns in relations.items():
        part = page.partition(f"\n## `{relation}`\n")[2].partition("\n## ")[0]
        lines = re.findall(r"^\| `(\w+)`", part.partition("\n### ")[0], re.MULTILINE)
        assert sorted(lines) == sorted(columns), relation
