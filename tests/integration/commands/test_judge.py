"""`c3d-worker judge` computes the statistics of sessions that another version has read."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

from tests.integration.command_line import command
from tests.integration.harness import Harness
from worker.extraction.analytics import STATISTICS_VERSION
from worker.local.recordings import ghostly_recording

OLDER = json.dumps({"mvc": 5, "channel_statistics": {"version": 1, "channels": [], "omitted": 0}})


async def read_by_an_older_version(harness: Harness, folder: Path, recordings: int) -> list[UUID]:
    """Have recordings read, and put in place what an older version would have kept."""
    sessions = [
        await harness.session(ghostly_recording(2.0, seed=seed)) for seed in range(recordings)
    ]
    async with harness.worker(folder):
        for session in sessions:
            await harness.until(session, "completed")
    await harness.database.execute("update therapy_sessions set analytics_cache = $1", OLDER)
    return sessions


async def versions(harness: Harness) -> list[int]:
    """Return the version that computed each session's statistics, in order."""
    return [
        row["version"]
        for row in await harness.database.fetch(
            "select (analytics_cache #> '{channel_statistics,version}')::integer as version "
            "from therapy_sessions order by version"
        )
    ]


async def test_sessions_are_judged_in_bounded_batches(harness: Harness, tmp_path: Path) -> None:
    sessions = await read_by_an_older_version(harness, tmp_path, 3)
    code, printed, complained = await command(harness.stack, tmp_path, "judge", "--limit", "2")
    assert (code, complained) == (0, "")
    assert "2 judged, 0 could not be. There may be more" in printed
    assert await versions(harness) == [1, STATISTICS_VERSION, STATISTICS_VERSION]
    code, printed, _ = await command(harness.stack, tmp_path, "judge")
    assert "1 judged, 0 could not be." in printed
    assert await versions(harness) == [STATISTICS_VERSION] * 3
    row = await harness.row(sessions[0])
    assert json.loads(row["analytics_cache"])["mvc"] == 5
    assert row["processing_attempts"] == 1  # the session itself is not touched
    _, printed, _ = await command(harness.stack, tmp_path, "judge")
    assert "0 judged, 0 could not be." in printed


async def test_what_cannot_be_judged_is_named_and_passed_over(
    harness: Harness, tmp_path: Path
) -> None:
    sessions = await read_by_an_older_version(harness, tmp_path, 2)
    await harness.database.execute(
        "update therapy_sessions set file_path = 'P005/gone.c3d' where id = $1", min(sessions)
    )
    code, printed, _ = await command(harness.stack, tmp_path, "judge", "--limit", "1")
    assert code == 1
    assert f"{min(sessions)}: object_missing: " in printed
    assert "1 judged, 1 could not be." in printed
    assert await versions(harness) == [1, STATISTICS_VERSION]
