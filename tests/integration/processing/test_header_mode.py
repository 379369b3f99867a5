"""READ_MODE=header: the start of a recording is enough for its technical row."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.faults.proxy import Proxy
from tests.faults.rules import Exchange, Trouble, delivered
from tests.integration.harness import Harness
from worker.extraction.errors import C3DError
from worker.extraction.section import PREFIX_BYTES
from worker.local.recordings import ghostly_recording
from worker.local.worker_process import worker_process
from worker.reports.inspection import inspect_file

LONG = ghostly_recording(seconds=120.0)
SHORT = ghostly_recording(seconds=5.0)


class Scale:
    """Status and bytes of every answer of Storage."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []

    async def weigh(self, exchange: Exchange) -> web.StreamResponse:
        answer = await exchange.pass_on()
        self.sent.append((answer.status, len(answer.body)))
        return delivered(answer)


@asynccontextmanager
async def served(harness: Harness, folder: Path, trouble: Trouble) -> AsyncIterator[None]:
    """Run a worker in header mode whose downloads come through `trouble`."""
    async with Proxy(harness.stack).serve() as proxy:
        with proxy.trouble("^/storage/v1/object/", trouble):
            async with worker_process(
                proxy.stack,
                folder,
                C3D_BUCKET=harness.bucket,
                READ_MODE="header",
                POLL_SECONDS="1",
                MAX_FILE_MB="1",
                MAX_ATTEMPTS="1",
            ):
                yield


async def without_ranges(exchange: Exchange) -> web.StreamResponse:
    """Answer as a proxy that knows no ranges: with the whole object."""
    answer = await exchange.pass_on()
    headers = {k: v for k, v in answer.headers.items() if k.lower() != "content-range"}
    return web.Response(status=200, headers=headers, body=LONG)


async def test_the_row_is_that_of_the_whole_file_and_the_session_says_how_it_was_read(
    harness: Harness, tmp_path: Path
) -> None:
    assert len(LONG) > 1_000_000  # MAX_FILE_MB limits whole downloads
    scale = Scale()
    session = await harness.session(LONG)
    async with served(harness, tmp_path, scale.weigh):
        row = await harness.until(session, "completed", "failed")
    assert (row["processing_status"], row["read_mode"]) == ("completed", "header")
    assert scale.sent == [(206, PREFIX_BYTES)]
    assert "channel_statistics" not in json.loads(row["analytics_cache"])
    assert await harness.technical(session) == expected(tmp_path, LONG)


async def test_a_short_file_is_read_whole_and_verified(harness: Harness, tmp_path: Path) -> None:
    assert len(SHORT) < PREFIX_BYTES
    scale = Scale()
    session = await harness.session(SHORT)
    async with served(harness, tmp_path, scale.weigh):
        row = await harness.until(session, "completed", "failed")
    assert (row["processing_status"], row["read_mode"]) == ("completed", None)
    assert scale.sent == [(200, len(SHORT))]


async def test_a_legacy_hash_is_replaced_so_the_whole_file_is_read(
    harness: Harness, tmp_path: Path
) -> None:
    recording = ghostly_recording(seconds=30.0)
    assert PREFIX_BYTES < len(recording) < 1_000_000
    session = await harness.session(recording, file_hash="path-and-size", measured=False)
    async with served(harness, tmp_path, Scale().weigh):
        row = await harness.until(session, "completed", "failed")
    assert (row["processing_status"], row["read_mode"]) == ("completed", None)
    assert len(row["file_hash"]) == 64


async def test_another_size_fails_although_the_start_is_right(
    harness: Harness, tmp_path: Path
) -> None:
    session = await harness.session(LONG, size=len(LONG) - 512)
    async with served(harness, tmp_path, Scale().weigh):
        row = await harness.until(session, "completed", "failed")
    assert row["processing_error"].startswith("size_mismatch: ")


async def test_an_object_that_was_emptied_is_of_another_size(
    harness: Harness, tmp_path: Path
) -> None:
    path = f"{harness.prefix}P005/emptied.c3d"
    session = await harness.session(LONG, path="P005/emptied.c3d")
    await harness.connection.supabase.storage.from_(harness.bucket).update(path, b"")
    async with served(harness, tmp_path, Scale().weigh):
        row = await harness.until(session, "completed", "failed")
    assert row["processing_error"].startswith("size_mismatch: ")


async def test_a_storage_without_ranges_costs_no_session(harness: Harness, tmp_path: Path) -> None:
    session = await harness.session(LONG)
    async with served(harness, tmp_path, without_ranges):
        row = await harness.until(session, "completed", "failed")
    assert (row["processing_status"], row["read_mode"]) == ("completed", "header")
    assert await harness.technical(session) == expected(tmp_path, LONG)


async def test_a_session_read_whole_later_says_so(harness: Harness, tmp_path: Path) -> None:
    session = await harness.session(LONG)
    async with served(harness, tmp_path, Scale().weigh):
        await harness.until(session, "completed", "failed")
    await harness.database.fetchval("select requeue_session($1, 'verify it', true)", session)
    async with harness.worker(tmp_path, POLL_SECONDS="1"):
        row = await harness.until(session, "completed", "failed")
    assert (row["processing_status"], row["read_mode"]) == ("completed", None)
    assert "channel_statistics" in json.loads(row["analytics_cache"])


def expected(folder: Path, recording: bytes) -> dict[str, Any]:
    """Return the row of the whole file."""
    path = folder / "whole.c3d"
    path.write_bytes(recording)
    found = inspect_file(path, statistics=False).found
    assert not isinstance(found, C3DError)
    return {name: pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            for name, value in found.row().items()}  # fmt: skip
