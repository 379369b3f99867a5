"""What a session says of its content: only what a worker has measured counts."""

from __future__ import annotations

import hashlib

import pytest

from tests.integration.databases import Connection, connected
from tests.integration.queue_calls import add, complete, held, row, technical_row


async def test_a_hash_that_is_no_content_hash_is_replaced_by_the_measured_one(
    database: Connection,
) -> None:
    session, claim_id = await held(
        database, file_hash="md5 of path and size", hash_measured_at=None
    )
    assert await complete(database, session, claim_id, content_hash="ef" * 32) == "completed"
    assert (await row(database, session))["file_hash"] == "ef" * 32


async def test_a_path_hash_is_replaced_without_a_word(database: Connection) -> None:
    path_hash = hashlib.sha256(b"P005/a.c3d:1000").hexdigest()
    session, claim_id = await held(
        database, file_path="P005/a.c3d", file_hash=path_hash, hash_measured_at=None
    )
    assert await complete(database, session, claim_id, content_hash="ef" * 32) == "completed"
    found = await row(database, session)
    assert (found["file_hash"], found["processing_error"]) == ("ef" * 32, None)
    assert found["hash_measured_at"] is not None


async def test_another_hash_that_nobody_measured_is_replaced_and_said(
    database: Connection,
) -> None:
    session, claim_id = await held(database, file_hash="ab" * 32, hash_measured_at=None)
    assert await complete(database, session, claim_id, content_hash="ef" * 32) == "completed"
    found = await row(database, session)
    assert found["file_hash"] == "ef" * 32
    assert found["processing_error"].startswith("replaced: ")
    assert "file_hash was abab" in found["processing_error"]


async def test_a_hash_that_another_program_writes_later_is_not_measured_any_more(
    database: Connection,
) -> None:
    session = await add(database)
    await database.execute(
        "update therapy_sessions set file_hash = 'path:1' where id = $1", session
    )
    assert (await row(database, session))["hash_measured_at"] is None


@pytest.mark.parametrize("content_hash", ["AB" * 32, "ab" * 32])
async def test_a_measured_hash_stays_as_it_is(database: Connection, content_hash: str) -> None:
    session, claim_id = await held(database, file_hash=content_hash)
    await complete(database, session, claim_id, content_hash="ef" * 32)
    assert (await row(database, session))["file_hash"] == "ab" * 32


@pytest.mark.parametrize("known", ["ef" * 32, "EF" * 32])
async def test_content_that_another_session_holds_fails_naming_it(
    database: Connection, known: str
) -> None:
    twin = await add(database, file_hash=known, processing_status="completed")
    session, claim_id = await held(
        database, file_hash="md5 of path and size", hash_measured_at=None
    )
    assert await complete(database, session, claim_id, content_hash="ef" * 32) == "duplicate"
    found = await row(database, session)
    assert found["processing_status"] == "failed"
    assert found["processing_error"].startswith(f"duplicate_content: Session {twin} ")
    assert found["file_hash"] == "md5 of path and size"
    assert await technical_row(database, session) is None
    assert await complete(database, session, claim_id, content_hash="ef" * 32) == "duplicate"
    assert await row(database, session) == found


async def test_looking_for_a_content_never_reads_the_whole_table(migrated_database: str) -> None:
    async with connected(migrated_database, role="service_role") as database:
        await database.execute(
            "insert into therapy_sessions "
            "(file_path, file_hash, file_size_bytes, original_filename) "
            "select n || '.c3d', md5('a' || n) || md5('b' || n), n, n || '.c3d' "
            "from generate_series(1, 5000) as n"
        )
        old = await add(database, file_path="old.c3d", file_hash="path:old", hash_measured_at=None)
        await database.execute("reset role; analyze therapy_sessions; set role service_role")
        for call in (
            "find_session($1, '1.c3d')",
            "cached_statistics($1, 1)",
            "cache_statistics($1, jsonb '{\"version\": 1}')",
            "invalidate_statistics($1)",
        ):
            async with database.transaction():
                await database.fetch(f"select * from {call}", "AB" * 32)
                scans = await database.fetchval(
                    "select seq_scan from pg_stat_xact_user_tables "
                    "where relname = 'therapy_sessions'"
                )
            assert scans == 0, call
        found = await database.fetchval(
            "select session_id from find_session($1, 'old.c3d')", "ab" * 32
        )
        assert found == old
