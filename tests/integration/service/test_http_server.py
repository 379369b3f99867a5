"""What the worker tells those who watch it, compared with the tables themselves."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.integration.checking import PUBLISH, broken
from tests.integration.harness import Harness
from tests.integration.interrupter import Interrupter
from tests.integration.uploads import RECORDING, numbered
from tests.integration.watching import Samples, served, watcher_of
from tests.integration.webhooks import SECRET
from worker.backend.queue_report import QueueReports
from worker.errors import UnavailableError
from worker.local.announcing import announce_uploads
from worker.local.migrated import connected
from worker.local.ports import choose

# Sessions in every state there is.
EVERY_STATE = """
insert into public.therapy_sessions (file_path, file_hash, file_size_bytes, original_filename,
    processing_status, processing_error, processing_due_at, processing_claim, processing_queued_at)
select 'P005/' || number, 'hash ' || number, 1, 'planted-name.c3d',
    status, error, now() + due, case when status = 'processing' then gen_random_uuid() end,
    now() - interval '1 hour'
from (
    select *, row_number() over () as number
    from (values
        ('pending', null, null::interval, 3),
        ('pending', 'object_missing: not yet', interval '10 minutes', 1),
        ('processing', null, interval '10 minutes', 2),
        ('processing', null, interval '-10 minutes', 1),
        ('completed', null, null, 5),
        ('failed', 'c3d_not_c3d: no', null, 4),
        ('failed', 'hash_mismatch: no', null, 2),
        ('skipped', null, null, 7)
    ) as states (status, error, due, sessions), generate_series(1, sessions)
) as each
"""

# Uploads of every outcome there is.
EVERY_OUTCOME = """
insert into public.storage_intake
  (object_id, version, bucket_id, object_path, outcome, detail, due_at, taken_at, announced_at)
select
  gen_random_uuid(), '1', 'c3d-files', 'P005/planted-name.c3d', outcome, detail,
  case when due is not null then now() + due end, case when due is null then now() end,
  now() - interval '1 hour'
from (
  values
    ('waiting', null, interval '0', 3),
    ('waiting', 'path_held: x.', interval '10 minutes', 2),
    ('waiting', 'schema_refuses: x.', interval '0', 1),
    ('taking', null, interval '1 minute', 4),
    ('refused', 'size_mismatch: x.', null, 5),
    ('session', null, null, 6),
    ('duplicate', null, null, 7),
    ('skipped', null, null, 1),
    ('superseded', null, null, 1),
    ('gone', null, null, 1)
) as outcomes (outcome, detail, due, uploads), generate_series(1, uploads)
"""


def _queue(samples: Samples) -> Samples:
    of_all = ("c3d_queue_", "c3d_intake_")
    return {key: value for key, value in samples.items() if key[0].startswith(of_all)}


async def test_the_gauges_of_the_queue_are_what_sql_counts(harness: Harness) -> None:
    await harness.database.execute(EVERY_STATE)
    samples = await watcher_of(harness.connection, harness.stack).metrics()
    by_status = {
        labels: value for (name, labels), value in samples.items() if name == "c3d_queue_sessions"
    }
    assert by_status == await harness.counts()
    assert by_status == {"pending": 4, "processing": 3, "completed": 5, "failed": 6, "skipped": 7}
    assert samples["c3d_queue_failed", "c3d_not_c3d"] == 4
    assert samples["c3d_queue_failed", "hash_mismatch"] == 2
    assert samples["c3d_queue_due", ""] == 3
    assert samples["c3d_queue_stuck", ""] == 1
    assert 3600 <= samples["c3d_queue_oldest_due_age_seconds", ""] < 3660
    assert samples["c3d_worker_supabase_up", ""] == 1


async def test_the_gauges_of_the_uploads_are_what_sql_counts(harness: Harness) -> None:
    await harness.database.execute(EVERY_OUTCOME)
    samples = await watcher_of(harness.connection, harness.stack).metrics()
    by_outcome = {
        labels: value for (name, labels), value in samples.items() if name == "c3d_intake_uploads"
    }
    assert by_outcome == {"waiting": 6, "taking": 4, "refused": 5, "duplicate": 7}
    assert samples["c3d_intake_waiting", "path_held"] == 2
    assert samples["c3d_intake_waiting", "schema_refuses"] == 1
    assert samples["c3d_intake_refused", "size_mismatch"] == 5
    assert samples["c3d_intake_due", ""] == 4
    assert 3600 <= samples["c3d_intake_oldest_age_seconds", ""] < 3660


async def test_an_empty_queue_has_its_gauges_too(harness: Harness) -> None:
    samples = _queue(await watcher_of(harness.connection, harness.stack).metrics())
    # Five states, due, stuck, set aside, since when; four outcomes of uploads, due, since when.
    assert len(samples) == 5 + 4 + 4 + 2
    assert set(samples.values()) == {0}


async def test_without_supabase_a_scrape_succeeds_and_nothing_is_ready(harness: Harness) -> None:
    async with Interrupter(harness.stack).serve() as line, connected(line.stack) as connection:
        watcher = watcher_of(connection, harness.stack)
        assert (await watcher.readiness())[0] == 200
        line.cut()
        samples = await watcher.metrics()
        assert samples["c3d_worker_supabase_up", ""] == 0
        assert _queue(samples) == {}
        status, said = await watcher.readiness()
        assert (status, said["supabase"], said["ready"]) == (503, "unreachable", False)
        assert await watcher.status("/healthz") == 200  # a restart would not help
        line.mend()
        assert (await watcher.metrics())["c3d_worker_supabase_up", ""] == 1
        assert (await watcher.readiness())[0] == 200


async def test_a_supabase_that_hangs_delays_no_scrape(harness: Harness) -> None:
    async with Interrupter(harness.stack).serve() as line, connected(line.stack) as connection:
        line.freeze()
        async with asyncio.timeout(8.0):
            samples = await watcher_of(connection, harness.stack).metrics()
    assert samples["c3d_worker_supabase_up", ""] == 0


async def test_many_scrapes_ask_each_question_once(harness: Harness) -> None:
    asked = Counter[str]()

    async def count(response: httpx.Response) -> None:
        asked[response.url.path] += 1

    async with connected(harness.stack) as connection:
        connection.http.event_hooks["response"].append(count)
        watcher = watcher_of(connection, harness.stack, ttl_seconds=15.0)
        await asyncio.gather(*(watcher.metrics() for _ in range(20)), watcher.readiness())
    assert asked == {"/rest/v1/rpc/queue_report": 1, "/rest/v1/therapy_sessions": 1}


async def test_a_count_that_takes_long_is_no_reason_to_be_unready(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(_: QueueReports) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr("worker.service.queue_stats.ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(QueueReports, "queue", endless)
    watcher = watcher_of(harness.connection, harness.stack)
    assert (await watcher.readiness())[0] == 200
    measured = await watcher.metrics()
    assert measured["c3d_worker_supabase_up", ""] == 1
    assert not _queue(measured)


async def test_a_loop_that_stands_still_is_neither_healthy_nor_ready(harness: Harness) -> None:
    watcher = watcher_of(harness.connection, harness.stack, silence=0.05)
    await asyncio.sleep(0.1)
    assert await watcher.status("/healthz") == 503
    status, said = await watcher.readiness()
    assert (status, said["supabase"], said["ready"]) == (503, "reachable", False)
    assert (said["sessions"], said["uploads"]) == ("stuck", "turning")


@pytest.mark.parametrize(
    ("part", "of"),
    [
        ("sessions", ("loop", "_trouble")),
        ("uploads", ("intake", "_trouble")),
        ("reconciliation", ("reconciliation", "trouble")),
    ],
)
async def test_what_is_paused_is_named_and_leaves_the_worker_healthy_and_not_ready(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, part: str, of: tuple[str, str]
) -> None:
    watcher = watcher_of(harness.connection, harness.stack)
    monkeypatch.setattr(getattr(watcher.health, of[0]), of[1], UnavailableError("Away."))
    status, said = await watcher.readiness()
    parts = {name: said[name] for name in ("sessions", "uploads", "reconciliation")}
    assert status == 503
    assert parts.pop(part) == "paused: supabase_unavailable"
    assert set(parts.values()) == {"turning"}
    assert await watcher.status("/healthz") == 200


async def test_a_worker_counts_what_it_did(harness: Harness, tmp_path: Path) -> None:
    await harness.announces(harness.bucket)
    webhook = await announce_uploads(harness.stack, secret=SECRET)
    async with harness.worker(tmp_path, BUCKET_SWEEP_SECONDS="0", **webhook) as worker:
        await worker.until("realtime_ready")
        watcher = served(webhook["HTTP_PORT"])
        for content in (RECORDING, numbered(1), b"no recording"):
            await harness.upload(content)
            done = await worker.until("session_done")
        assert (done["outcome"], done["code"]) == ("failed", "c3d_not_c3d")
        assert done["read_seconds"] <= done["seconds"] + 0.002
        assert not {"download_seconds", "complete_seconds"} & done.keys()  # its bytes were held
        await harness.upload(RECORDING, "P005/copy.c3d")
        await worker.until("object_taken")
        samples = await watcher.metrics()
        assert (await watcher.readiness())[1]["realtime"] == "ready"
        assert await watcher.status("/healthz") == 200
    assert samples["c3d_worker_sessions_total", "completed"] == 2
    assert samples["c3d_worker_sessions_total", "c3d_not_c3d failed"] == 1
    assert ("c3d_worker_step_seconds_count", "download") not in samples
    assert samples["c3d_worker_held_files", ""] == samples["c3d_worker_held_bytes", ""] == 0
    assert samples["c3d_worker_step_seconds_count", "read"] == 3
    assert samples["c3d_worker_step_seconds_count", "complete"] == 2
    assert samples["c3d_worker_objects_total", "session"] == 3
    assert samples["c3d_worker_objects_total", "duplicate"] == 1
    assert samples["c3d_worker_cache_hits_total", ""] == 1
    assert samples["c3d_worker_webhooks_total", "202"] == 4
    assert samples["c3d_worker_realtime_ready", ""] == 1
    assert samples["c3d_worker_realtime_reconnects_total", ""] == 0
    assert samples["c3d_worker_lease_losses_total", ""] == 0
    assert samples["process_resident_memory_bytes", ""] > 1e6


async def test_without_realtime_the_worker_is_ready_all_the_same(
    harness: Harness, tmp_path: Path
) -> None:
    port = str(choose(0, "the worker"))
    async with (
        broken(harness.stack, "drop publication supabase_realtime", PUBLISH),
        harness.worker(tmp_path, HTTP_PORT=port) as worker,
    ):
        await worker.until("realtime_lost")
        watcher = served(port)
        status, said = await watcher.readiness()
        samples = await watcher.metrics()
        assert await watcher.status("/webhooks/storage") == 404  # there is no secret
    assert (status, said["realtime"], said["sessions"]) == (200, "lost", "turning")
    assert samples["c3d_worker_realtime_ready", ""] == 0
    assert samples["c3d_worker_realtime_reconnects_total", ""] >= 1


async def test_a_webhook_without_a_port_is_one_sentence(harness: Harness, tmp_path: Path) -> None:
    settings = {"WEBHOOK_SECRET": SECRET, "HTTP_PORT": "0"}
    async with harness.worker(tmp_path, **settings) as worker:
        with pytest.raises(Exception, match="setting: WEBHOOK_SECRET is set, and HTTP_PORT=0"):
            await worker.until("worker_started")
        assert await worker.process.wait() == 2
