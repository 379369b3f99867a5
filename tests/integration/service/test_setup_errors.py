"""A wrong installation is one sentence that names it and its cure, and exit code 2."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.integration.command_line import command
from tests.integration.harness import Harness
from worker.backend.metadata_service import MetadataService
from worker.errors import MigrationMissingError
from worker.local.stack import StackInfo


async def _run(stack: StackInfo, folder: Path, **settings: str) -> str:
    """Run a worker that cannot start, and return what it says."""
    code, printed, said = await command(stack, folder, "run", **settings)
    assert (code, printed) == (2, "")
    assert len(said.strip().splitlines()) == 1
    return said


async def _until(service: MetadataService, *, missing: bool) -> None:
    """Wait for PostgREST to read its schema anew."""
    async with asyncio.timeout(10):
        while True:
            try:
                await service.check()
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


async def test_an_unreachable_url(migrated_stack: StackInfo, tmp_path: Path) -> None:
    said = await _run(migrated_stack, tmp_path, SUPABASE_URL="http://127.0.0.1:1")
    assert said.startswith("supabase_unavailable: ")
    assert "SUPABASE_URL" in said


async def test_an_address_without_encryption_is_a_warning_before_anything_is_sent(
    migrated_stack: StackInfo, tmp_path: Path
) -> None:
    settings = {"SUPABASE_URL": "http://nowhere.invalid", "LOG_FORMAT": "json"}
    _, _, said = await command(migrated_stack, tmp_path, "run", **settings)
    warned, failed = said.splitlines()
    line = json.loads(warned)
    assert (line["event"], line["level"]) == ("url_not_encrypted", "warning")
    assert line["url"] == "http://nowhere.invalid"
    assert failed.startswith("supabase_unavailable: ")


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
            "alter function public.try_session() rename to hidden",
            "alter function public.hidden() rename to try_session",
        ),
        (
            "alter function public.retake_objects rename to hidden",
            "alter function public.hidden rename to retake_objects",
        ),
    ],
    ids=["sessions", "technical data", "functions", "the last migration", "uploads"],
)
async def test_a_missing_migration(harness: Harness, tmp_path: Path, hide: str, show: str) -> None:
    service = MetadataService(harness.connection.supabase)
    await harness.database.execute(hide)
    try:
        await _until(service, missing=True)
        said = await _run(harness.stack, tmp_path)
    finally:
        await harness.database.execute(show)
        await _until(service, missing=False)
    assert said.startswith("migration_missing: ")
    assert "supabase db push" in said


async def test_a_missing_bucket(migrated_stack: StackInfo, tmp_path: Path) -> None:
    said = await _run(migrated_stack, tmp_path, C3D_BUCKET="no-such-bucket")
    assert said.startswith("bucket_missing: ")
    assert "'no-such-bucket'" in said
