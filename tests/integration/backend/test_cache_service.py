"""The analytics cache: kept by content and version, counted when used."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from uuid import UUID

import pytest

from tests.integration.command_line import command
from tests.integration.databases import connected
from tests.integration.harness import Harness
from tests.integration.uploads import RECORDING, sweep_of
from worker.backend.cache_service import CacheService
from worker.errors import RejectedError
from worker.extraction.analytics import STATISTICS_VERSION

STATISTICS = {"version": 7, "channels": [], "omitted": 0}


async def hash_of(harness: Harness, session: UUID) -> str:
    return str((await harness.row(session))["file_hash"])


async def test_what_was_put_is_got_and_the_hit_is_counted(harness: Harness) -> None:
    session = await harness.session(RECORDING)
    cache, key = CacheService(harness.connection.supabase), await hash_of(harness, session)
    assert await cache.get(key, 7) is None
    before = await harness.row(session)
    assert await cache.put(key, STATISTICS)
    assert await cache.get(key, 7) == STATISTICS
    assert await cache.get(key.upper(), 7) == STATISTICS
    after = await harness.row(session)
    assert (before["cache_hits"], after["cache_hits"]) == (0, 2)
    assert after["last_accessed_at"] > before["last_accessed_at"]


async def test_hits_at_once_are_all_counted(harness: Harness) -> None:
    session = await harness.session(RECORDING)
    cache, key = CacheService(harness.connection.supabase), await hash_of(harness, session)
    await cache.put(key, STATISTICS)
    await asyncio.gather(*(cache.get(key, 7) for _ in range(20)))
    await asyncio.gather(*(cache.hit(session) for _ in range(20)))
    assert (await harness.row(session))["cache_hits"] == 40


async def test_statistics_of_another_version_are_not_returned(harness: Harness) -> None:
    session = await harness.session(RECORDING)
    cache, key = CacheService(harness.connection.supabase), await hash_of(harness, session)
    await cache.put(key, STATISTICS)
    assert [await cache.get(key, 6), await cache.get(key, 8)] == [None, None]
    assert (await harness.row(session))["cache_hits"] == 0
    assert await cache.put(key, {**STATISTICS, "version": 8})
    assert await cache.get(key, 7) is None


async def test_the_keys_of_others_survive(harness: Harness) -> None:
    session = await harness.session(RECORDING)
    cache, key = CacheService(harness.connection.supabase), await hash_of(harness, session)
    await harness.database.execute("""update therapy_sessions set analytics_cache = '{"mvc": 5}'""")
    await cache.put(key, STATISTICS)
    kept = json.loads((await harness.row(session))["analytics_cache"])
    assert kept == {"mvc": 5, "channel_statistics": STATISTICS}
    assert await cache.invalidate(key)
    assert not await cache.invalidate(key)
    assert json.loads((await harness.row(session))["analytics_cache"]) == {"mvc": 5}
    assert await cache.get(key, 7) is None


@pytest.mark.parametrize(
    "statistics",
    [{"version": 7, "channels": "x" * 65_536}, {"channels": []}, {"version": "7"}],
    ids=["too large", "no version", "a version that is not a number"],
)
async def test_more_than_64_kb_or_no_version_is_rejected(
    harness: Harness, statistics: dict[str, object]
) -> None:
    session = await harness.session(RECORDING)
    cache = CacheService(harness.connection.supabase)
    with pytest.raises(RejectedError):
        await cache.put(await hash_of(harness, session), statistics)


async def test_an_unknown_content_has_no_entry(harness: Harness) -> None:
    cache = CacheService(harness.connection.supabase)
    assert not await cache.put("ab" * 32, STATISTICS)
    assert await cache.get("ab" * 32, 7) is None
    assert not await cache.invalidate("ab" * 32)


async def test_show_prints_all_of_it_and_counts_the_hit(harness: Harness, tmp_path: Path) -> None:
    await harness.upload(RECORDING, "P005/a.c3d")
    await sweep_of(harness).sweep()
    session = await harness.database.fetchval("select id from therapy_sessions")
    async with harness.worker(tmp_path):
        await harness.until(session, "completed")
    code, printed, complained = await command(harness.stack, tmp_path, "show", str(session))
    assert (code, complained) == (0, "")
    assert "from the cache" in printed
    for said in ("P005/a.c3d", "990 Hz", "CH1 Raw", "activity over time", "█"):
        assert said in printed
    row = await harness.row(session)
    assert row["cache_hits"] == 1
    assert re.search(r"cache_hits +│ 1 ", printed)


async def test_a_newer_version_recomputes_instead_of_answering_stale(
    harness: Harness, tmp_path: Path
) -> None:
    session = await harness.session(RECORDING)
    async with harness.worker(tmp_path):
        await harness.until(session, "completed")
    key = await hash_of(harness, session)
    cache = CacheService(harness.connection.supabase)
    computed = await cache.get(key, STATISTICS_VERSION)
    assert computed is not None
    await cache.put(key, {"version": STATISTICS_VERSION - 1, "channels": [], "omitted": 0})
    code, printed, _ = await command(harness.stack, tmp_path, "show", str(session))
    assert code == 0
    assert "computed anew and kept" in printed
    assert "CH1 Raw" in printed
    assert await cache.get(key, STATISTICS_VERSION) == computed


async def test_show_says_why_there_are_no_statistics(harness: Harness, tmp_path: Path) -> None:
    session = await harness.session(b"no recording", uploaded=False)
    _, printed, _ = await command(harness.stack, tmp_path, "show", str(session))
    assert "none before the session is completed" in printed
    await harness.database.execute("update therapy_sessions set processing_status = 'completed'")
    code, printed, _ = await command(harness.stack, tmp_path, "show", str(session))
    assert code == 0
    assert "object_missing" in printed


async def test_show_names_a_session_that_does_not_exist(harness: Harness, tmp_path: Path) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    code, _, complained = await command(harness.stack, tmp_path, "show", unknown)
    assert code == 2
    assert complained.startswith("session_unknown: ")


async def test_a_hit_of_a_session_that_somebody_has_locked_is_given_up(harness: Harness) -> None:
    session = await harness.session(RECORDING)
    async with connected(harness.stack.database_url) as other, other.transaction():
        await other.execute("select from public.therapy_sessions where id = $1 for update", session)
        async with asyncio.timeout(5.0):
            await CacheService(harness.connection.supabase).hit(session)
    assert (await harness.row(session))["cache_hits"] == 0
