"""`c3d-worker status` says what the tables say."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from tests.faults.proxy import Proxy
from tests.faults.rules import delay
from tests.integration.checking import broken
from tests.integration.command_line import command, started
from tests.integration.harness import Harness
from tests.integration.queue_calls import add, backdate, claim, complete, fail
from worker.backend.queue_report import PAGE

FINISHED = """
insert into public.therapy_sessions
  (file_path, file_hash, file_size_bytes, processing_status, processing_due_at, hash_measured_at)
select 'P005/' || n || '.c3d', md5(random()::text) || md5(random()::text), 1000, 'completed', null,
  now()
from generate_series(1, $1::integer) as n
"""
COUNTS = """
select
  jsonb_build_object(
    'pending', count(*) filter (where processing_status = 'pending'),
    'processing', count(*) filter (where processing_status = 'processing'),
    'completed', count(*) filter (where processing_status = 'completed'),
    'failed', count(*) filter (where processing_status = 'failed'),
    'skipped', count(*) filter (where processing_status = 'skipped')
  )
from public.therapy_sessions
"""


async def status(harness: Harness, folder: Path, *arguments: str) -> dict[str, Any]:
    code, printed, complained = await command(harness.stack, folder, "status", "--json", *arguments)
    assert (code, complained) == (0, "")
    said: dict[str, Any] = json.loads(printed)
    return said


async def every_state(harness: Harness) -> dict[str, UUID]:
    """Bring sessions into every state, the way a worker does."""
    database = harness.database
    named: dict[str, UUID] = {}
    for name in ("completed", "failed", "retried", "reading", "stuck"):
        named[name], claim_id = await add(database, original_filename=f"{name}.c3d"), uuid4()
        assert await claim(database, claim_id) == [named[name]]
        match name:
            case "completed":
                await complete(database, named[name], claim_id)
            case "failed" | "retried":
                await fail(database, named[name], claim_id, 600 if name == "retried" else None)
    named["skipped"] = await add(database, processing_status="skipped")
    named["old"] = await add(database, processing_status="failed")
    named["due"], named["longest"] = await add(database), await add(database)
    await backdate(database, named["due"], 5)
    await backdate(database, named["longest"], 3600)
    await backdate(database, named["stuck"], 60)
    await database.execute(
        "update public.therapy_sessions set processing_queued_at = processing_due_at where id = $1",
        named["longest"],
    )
    return named


async def intake(harness: Harness, outcome: str, detail: str | None = None) -> None:
    await harness.database.execute(
        "insert into public.storage_intake"
        " (object_id, version, bucket_id, object_path, outcome, detail, due_at, taken_at)"
        " values (gen_random_uuid(), '1', 'c3d-files', $1, $2, $3,"
        " case when $2 in ('waiting', 'taking') then now() end,"
        " case when $2 not in ('waiting', 'taking') then now() end)",
        f"P005/{outcome}.c3d",
        outcome,
        detail,
    )


async def test_json_agrees_with_the_tables_in_every_state(harness: Harness, tmp_path: Path) -> None:
    named = await every_state(harness)
    await intake(harness, "waiting")
    await intake(harness, "waiting", "path_held: Held.")
    await intake(harness, "taking")
    await intake(harness, "refused", "file_beyond_integer: Too large.")
    await intake(harness, "duplicate")
    said = await status(harness, tmp_path)
    assert said["sessions"] == json.loads(await harness.database.fetchval(COUNTS))
    assert set(said["sessions"].values()) == {3, 2, 1}
    assert (said["due"], said["stuck"]) == (2, 1)
    assert 3600 <= said["oldest_due_age_seconds"] < 3660
    assert (said["completed_in_10_minutes"], said["sessions_a_minute"]) == (1, 0.1)
    assert said["failed_by_code"] == {"object_missing": 1, "unknown": 1}
    assert 0 <= said["uploads"].pop("oldest_age_seconds") < 60
    assert said["uploads"] == {
        "waiting": 2,
        "due": 2,
        "taking": 1,
        "refused": 1,
        "duplicate": 1,
        "waiting_by_code": {"path_held": 1},
        "refused_by_code": {"file_beyond_integer": 1},
    }
    assert [(line["session_id"], line["status"]) for line in said["last_errors"]] == [
        (str(named["retried"]), "pending"),
        (str(named["failed"]), "failed"),
    ]
    assert said["last_errors"][1]["file"] == "failed.c3d"
    assert said["last_errors"][1]["error"] == "object_missing: No such file."
    (refused,) = said["last_refused"]
    assert refused["file_path"] == "P005/refused.c3d"
    assert refused["detail"] == "file_beyond_integer: Too large."


async def test_the_page_shows_the_same(harness: Harness, tmp_path: Path) -> None:
    named = await every_state(harness)
    await intake(harness, "refused", "file_beyond_integer: Too [red]large.")
    for awaited in ("path_held", "schema_refuses", "schema_refuses"):
        await intake(harness, "waiting", f"{awaited}: So.")
    code, printed, _ = await command(harness.stack, tmp_path, "status")
    assert code == 0
    assert "3 pending, 2 processing, 1 completed, 2 failed, 1 skipped" in printed
    assert "2, the longest for 1 h 0 min" in printed
    assert "1: their worker stopped" in printed
    assert "0.1 sessions a minute" in printed
    assert str(named["failed"]) in printed
    assert "No such file. It is retried." in printed
    assert "Too [red]large." in printed
    assert "3 waiting, 0 being taken in, 1 refused, 0 known already" in printed
    assert "2 schema_refuses, 1 path_held" in printed


async def test_an_empty_project_has_nothing_to_show(harness: Harness, tmp_path: Path) -> None:
    said = await status(harness, tmp_path)
    assert set(said["sessions"].values()) == {0}
    assert said["oldest_due_age_seconds"] is None
    assert (said["last_errors"], said["last_refused"], said["failed_by_code"]) == ([], [], {})
    _, printed, _ = await command(harness.stack, tmp_path, "status", "--failed")
    assert printed == "No session has failed.\n"


async def test_a_requeued_session_is_not_an_error_any_more(
    harness: Harness, tmp_path: Path
) -> None:
    named = await every_state(harness)
    for name in ("failed", "old"):
        await harness.database.fetchval("select requeue_session($1, 'why')", named[name])
    said = await status(harness, tmp_path)
    assert [line["session_id"] for line in said["last_errors"]] == [str(named["retried"])]


async def test_failed_ones_are_listed_in_full_however_many(
    harness: Harness, tmp_path: Path
) -> None:
    many = 2 * PAGE + 5
    await harness.database.execute(
        """
        insert into public.therapy_sessions (
          file_path, file_hash, file_size_bytes, original_filename,
          processing_status, processing_error, updated_at
        )
        select 'P005/' || n || '.c3d', 'hash ' || n, 1, n || '.c3d', 'failed', 'rejected: No.',
          -- In pairs of the same time, and the last hundred of times that nobody knows.
          case when n <= $1 - 100 then now() - make_interval(secs => n / 2) end
        from generate_series(1, $1) as n
        """,
        many,
    )
    arguments = ("status", "--failed", "--json", "--limit", "5000")
    _, printed, _ = await command(harness.stack, tmp_path, *arguments)
    lines = [json.loads(line) for line in printed.splitlines()]
    expected = await harness.database.fetch(
        "select id from public.therapy_sessions order by updated_at desc nulls last, id desc"
    )
    assert [line["session_id"] for line in lines] == [str(found["id"]) for found in expected]
    _, printed, _ = await command(harness.stack, tmp_path, "status", "--failed", "--limit", "3")
    assert printed.count("rejected: No.") == 3
    assert f"3 of {many:,}; more with --limit." in printed


async def test_watching_repeats_until_ctrl_c(harness: Harness, tmp_path: Path) -> None:
    process = await started(harness.stack, tmp_path, "status", "--watch", "--json")
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline())["sessions"]["pending"] == 0
    await add(harness.database)
    async with asyncio.timeout(10):
        assert json.loads(await process.stdout.readline())["sessions"]["pending"] == 1
    process.send_signal(signal.SIGINT)
    _, complained = await process.communicate()
    assert (process.returncode, complained) == (0, b"")


async def test_watching_outlives_trouble_and_says_it(harness: Harness, tmp_path: Path) -> None:
    process = await started(harness.stack, tmp_path, "status", "--watch", "--json")
    assert process.stdout is not None
    await process.stdout.readline()
    hide = "alter function public.queue_report() rename to hidden"
    show = "alter function public.hidden() rename to queue_report"
    async with broken(harness.stack, hide, show), asyncio.timeout(15):
        while "error" not in (said := json.loads(await process.stdout.readline())):
            pass
    assert said["error"].startswith("migration_missing: ")
    async with asyncio.timeout(15):
        while "sessions" not in json.loads(await process.stdout.readline()):
            pass
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 0


async def test_a_watched_page_ends_well_on_ctrl_c(harness: Harness, tmp_path: Path) -> None:
    async with Proxy(harness.stack).serve() as proxy:
        with proxy.trouble("/rpc/queue_report$", delay(0.0)) as rule:
            process = await started(proxy.stack, tmp_path, "status", "--watch")
            async with asyncio.timeout(30):
                while rule.hits < 2:
                    await asyncio.sleep(0.02)
        process.send_signal(signal.SIGINT)
        printed, complained = await process.communicate()
    assert (process.returncode, complained) == (0, b"")
    assert b"0 pending" in printed


async def test_failed_and_watch_do_not_go_together(harness: Harness, tmp_path: Path) -> None:
    code, _, complained = await command(harness.stack, tmp_path, "status", "--failed", "--watch")
    assert code == 2
    assert "do not go together" in complained


async def test_what_is_finished_is_counted_up_to_a_bound_and_said_to_be_about_right_beyond(
    harness: Harness, tmp_path: Path
) -> None:
    await harness.database.execute(FINISHED, 10_000)
    _, printed, _ = await command(harness.stack, tmp_path, "status")
    assert " 10,000 completed" in printed
    assert "about" not in printed
    await harness.database.execute(FINISHED, 10_000)
    await harness.database.execute("analyze public.therapy_sessions")
    _, printed, _ = await command(harness.stack, tmp_path, "status")
    assert "about 20,000 completed" in printed
    said = await status(harness, tmp_path)
    assert said["estimated"] == ["completed"]
    assert said["sessions"]["completed"] == 20_000
