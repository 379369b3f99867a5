"""A wrong installation is one sentence that names it and its cure, and exit code 2."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.integration.harness import harness_of
from worker.backend.metadata_service import MetadataService
from worker.errors import MigrationMissingError
from worker.local.stack import StackInfo
from worker.settings import settings_names


def _run(folder: Path, **settings: str) -> str:
    """Run a worker that cannot start, and return the one sentence that it says."""
    (said,) = _lines(folder, settings)
    return said


def _lines(folder: Path, settings: Mapping[str, str]) -> list[str]:
    inherited = {k: v for k, v in os.environ.items() if k not in settings_names()}
    ended = subprocess.run(
        [sys.executable, "-m", "worker", "run"],
        cwd=folder,
        env={**inherited, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return ended.stderr.splitlines()


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


def test_a_missing_setting(tmp_path: Path) -> None:
    said = _run(tmp_path, SUPABASE_URL="http://127.0.0.1:1")
    assert said.startswith("setting: SUPABASE_SECRET_KEY is not set")
    assert ".env" in said


def test_an_unreachable_url(tmp_path: Path) -> None:
    said = _run(tmp_path, SUPABASE_URL="http://127.0.0.1:1", SUPABASE_SECRET_KEY="secret")
    assert said.startswith("supabase_unavailable: ")
    assert "SUPABASE_URL" in said


def test_an_address_without_encryption_is_a_warning_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    settings = {
        "SUPABASE_URL": "http://nowhere.invalid",
        "SUPABASE_SECRET_KEY": "secret",
        "LOG_FORMAT": "json",
    }
    warned, failed = _lines(tmp_path, settings)
    line = json.loads(warned)
    assert (line["event"], line["level"]) == ("url_not_encrypted", "warning")
    assert line["url"] == "http://nowhere.invalid"
    assert failed.startswith("supabase_unavailable: ")


@pytest.mark.parametrize("key", ["sb_secret_of_another_project", "nonsense"])
def test_a_wrong_key(migrated_stack: StackInfo, tmp_path: Path, key: str) -> None:
    said = _run(tmp_path, SUPABASE_URL=migrated_stack.url, SUPABASE_SECRET_KEY=key)
    assert said.startswith("key_refused: ")
    assert "SUPABASE_SECRET_KEY" in said
    assert key not in said


def test_a_key_that_may_not_do_the_work(migrated_stack: StackInfo, tmp_path: Path) -> None:
    said = _run(
        tmp_path,
        SUPABASE_URL=migrated_stack.url,
        SUPABASE_SECRET_KEY=migrated_stack.publishable_key,
    )
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
    ],
    ids=["sessions", "technical data", "functions"],
)
async def test_a_missing_migration(
    migrated_stack: StackInfo, tmp_path: Path, hide: str, show: str
) -> None:
    settings = {
        "SUPABASE_URL": migrated_stack.url,
        "SUPABASE_SECRET_KEY": migrated_stack.secret_key,
    }
    async with harness_of(migrated_stack) as harness:
        service = MetadataService(harness.connection.supabase)
        await harness.database.execute(hide)
        try:
            await _until(service, missing=True)
            said = await asyncio.to_thread(_run, tmp_path, **settings)
        finally:
            await harness.database.execute(show)
            await _until(service, missing=False)
    assert said.startswith("migration_missing: ")
    assert "supabase db push" in said


def test_a_missing_bucket(migrated_stack: StackInfo, tmp_path: Path) -> None:
    said = _run(
        tmp_path,
        SUPABASE_URL=migrated_stack.url,
        SUPABASE_SECRET_KEY=migrated_stack.secret_key,
        C3D_BUCKET="no-such-bucket",
    )
    assert said.startswith("bucket_missing: ")
    assert "'no-such-bucket'" in said
