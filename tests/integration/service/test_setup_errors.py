"""A wrong installation is one sentence that names it and its cure, and exit code 2."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.command_line import command
from tests.integration.harness import Harness
from worker.backend.connection import Connection
from worker.backend.metadata_service import MetadataService
from worker.backend.object_store import ObjectStore
from worker.backend.queue_look import SCHEMA_VERSION, QueueLooks
from worker.backend.upload_queue import UploadQueue
from worker.errors import MigrationMissingError
from worker.local.stack import StackInfo
from worker.service.run import check_start
from worker.settings import DEFAULT_BUCKET


async def _run(stack: StackInfo, folder: Path, **settings: str) -> str:
    """Run a worker that cannot start, and return what it says."""
    code, printed, said = await command(stack, folder, "run", **settings)
    assert (code, printed) == (2, "")
    _, *more = said.splitlines()
    assert all(line.startswith("  ") for line in more)  # one sentence, no traceback
    return " ".join(said.split())


async def _until(connection: Connection, *, missing: bool) -> None:
    """Wait for PostgREST to read its schema anew."""
    supabase = connection.supabase
    queue = UploadQueue(supabase, DEFAULT_BUCKET, lease_seconds=60, every_file=False)
    looks = QueueLooks(supabase, DEFAULT_BUCKET, every_file=False)
    store = ObjectStore(connection, DEFAULT_BUCKET)
    async with asyncio.timeout(10):
        while True:
            try:
                await check_start(looks, MetadataService(supabase), store, queue)
            except MigrationMissingError:
                if missing:
                    return
            else:
                if not missing:
                    return
            await asyncio.sleep(0.05)


async def test_a_missing_setting(migrated_stack: StackInfo, tmp_path: Path) -> None:
    said = await _run(migrated_stack, tmp_path, SUPABASE_SECRET_KEY="")
    assert said.startswith("setting: SUPABASE_SECRET_KEY is not set")
    assert ".env" in said


@pytest.mark.parametrize(
    ("settings", "code", "sentence"),
    [
        ({"SUPABASE_SECRET_KEY": ""}, "setting", "SUPABASE_SECRET_KEY is not set"),
        ({"CONCURRENCY": "many"}, "setting", "CONCURRENCY is wrong"),
        ({"SUPABASE_SECRET_KEY": "nonsense"}, "key_refused", "Supabase refused the key"),
    ],
    ids=["missing", "malformed", "refused"],
)
async def test_what_forbids_a_start_is_one_line_of_the_log_and_a_status(
    migrated_stack: StackInfo,
    tmp_path: Path,
    settings: Mapping[str, str],
    code: str,
    sentence: str,
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(0)
        service = {"LOG_FORMAT": "json", "NOTIFY_SOCKET": str(tmp_path / "notify")}
        line = json.loads(await _run(migrated_stack, tmp_path, **service, **settings))
        assert (line["event"], line["level"], line["code"]) == ("worker_failed", "error", code)
        assert line["reason"].startswith(sentence)
        told = []
        with suppress(BlockingIOError):
            while True:
                told.append(manager.recv(4096).decode())
    assert told[-1] == f"STATUS={code}: {line['reason']}"


@pytest.mark.parametrize("others", [b"CONCURRENCY=many\n", b"C3D_BUCKET=\xe9\n"])
async def test_it_is_a_line_of_the_log_also_where_only_the_env_file_says_so(
    migrated_stack: StackInfo, tmp_path: Path, others: bytes
) -> None:
    (tmp_path / ".env").write_bytes(b"log_format=json\n" + others)
    line = json.loads(await _run(migrated_stack, tmp_path, LOG_FORMAT=""))
    assert (line["event"], line["code"]) == ("worker_failed", "setting")
    said = await _run(migrated_stack, tmp_path, LOG_FORMAT="console")
    assert said.startswith("setting: ")


async def test_an_unreachable_url(migrated_stack: StackInfo, tmp_path: Path) -> None:
    said = await _run(migrated_stack, tmp_path, SUPABASE_URL="http://127.0.0.1:1")
    assert said.startswith("supabase_unavailable: ")
    assert "nothing listens at 127.0.0.1:1)" in said
    assert "SUPABASE_URL" in said


async def test_a_misspelt_project(migrated_stack: StackInfo, tmp_path: Path) -> None:
    said = await _run(migrated_stack, tmp_path, SUPABASE_URL="https://misspelt.invalid")
    assert "there is no host misspelt.invalid" in said


async def test_an_address_without_encryption_is_a_warning_before_anything_is_sent(
    migrated_stack: StackInfo, tmp_path: Path
) -> None:
    settings = {"SUPABASE_URL": "http://nowhere.invalid", "LOG_FORMAT": "json"}
    _, _, said = await command(migrated_stack, tmp_path, "run", **settings)
    warned, failed = (json.loads(line) for line in said.splitlines())
    assert (warned["event"], warned["level"]) == ("url_not_encrypted", "warning")
    assert warned["url"] == "http://nowhere.invalid"
    assert (failed["event"], failed["code"]) == ("worker_failed", "supabase_unavailable")


@pytest.mark.parametrize("key", ["sb_secret_of_another_project", "nonsense"])
async def test_a_wrong_key(migrated_stack: StackInfo, tmp_path: Path, key: str) -> None:
    said = await _run(migrated_stack, tmp_path, SUPABASE_SECRET_KEY=key)
    assert said.startswith("key_refused: ")
    assert "SUPABASE_SECRET_KEY" in said
    assert key not in said


async def test_a_key_that_may_not_do_the_work(migrated_stack: StackInfo, tmp_path: Path) -> None:
    key = migrated_stack.publishable_key
    said = await _run(migrated_stack, tmp_path, SUPABASE_SECRET_KEY=key)
    assert said.startswith("key_refused: ")


@pytest.mark.parametrize(
    ("hide", "show"),
    [
        (
            "alter table public.therapy_sessions rename to hidden",
            "alter table public.hidden rename to therapy_sessions",
        ),
        (
            "alter table public.c3d_technical_data rename to hidden",
            "alter table public.hidden rename to c3d_technical_data",
        ),
        (
            "alter function public.extend_lease(uuid[], uuid[], integer) rename to hidden",
            "alter function public.hidden(uuid[], uuid[], integer) rename to extend_lease",
        ),
        (
            "alter function public.schema_version() rename to hidden",
            "alter function public.hidden() rename to schema_version",
        ),
        (
            "alter function public.take_objects rename to hidden",
            "alter function public.hidden rename to take_objects",
        ),
    ],
    ids=["sessions", "technical data", "functions", "the last migration", "uploads"],
)
async def test_a_missing_migration(harness: Harness, tmp_path: Path, hide: str, show: str) -> None:
    await harness.database.execute(hide)
    try:
        await _until(harness.connection, missing=True)
        said = await _run(harness.stack, tmp_path)
    finally:
        await harness.database.execute(show)
        await _until(harness.connection, missing=False)
    assert said.startswith("migration_missing: ")
    assert "supabase db push" in said


async def test_a_missing_bucket(migrated_stack: StackInfo, tmp_path: Path) -> None:
    said = await _run(migrated_stack, tmp_path, C3D_BUCKET="no-such-bucket")
    assert said.startswith("bucket_missing: ")
    assert "'no-such-bucket'" in said


async def test_functions_of_another_version(harness: Harness, tmp_path: Path) -> None:
    async with _other_version(harness):
        said = await _run(harness.stack, tmp_path)
    assert said.startswith("schema_version: The database has version 20990101000000 ")
    assert SCHEMA_VERSION in said


async def test_functions_that_become_anothers_while_it_runs(
    harness: Harness, tmp_path: Path
) -> None:
    async with harness.worker(tmp_path, POLL_SECONDS="1") as worker:
        await worker.until("worker_started")
        async with _other_version(harness):
            await worker.until("schema_version")
            await worker.until("worker_stopped")
            assert await worker.process.wait() == 2


@asynccontextmanager
async def _other_version(harness: Harness) -> AsyncIterator[None]:
    replaced = """create or replace function public.schema_version() returns text
                  language sql immutable set search_path = '' as $$ select '{}' $$"""
    await harness.database.execute(replaced.format("20990101000000"))
    try:
        yield
    finally:
        await harness.database.execute(replaced.format(SCHEMA_VERSION))
