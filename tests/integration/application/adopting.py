"""A stack that the application was on before the worker came, and the worker on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from docs.run_snippets import DOCS
from tests.conftest import PROJECT, RunningStack
from tests.integration.application.client import Application
from tests.integration.application.shapes import BUCKET, Shape, Upload, of_content
from tests.integration.command_line import command
from tests.integration.databases import execute
from tests.integration.harness import Harness, harness_of
from worker.extraction.metadata import read_metadata
from worker.local.migrated import migrate
from worker.local.packages import Packages
from worker.local.stack import StackInfo
from worker.local.worker_process import WorkerProcess

SQL = DOCS / "sql"
UNSESSIONED = "select count(*) from public.storage_intake where outcome in ('waiting', 'taking')"


@dataclass(frozen=True, slots=True)
class Adopted:
    """The application's project."""

    harness: Harness
    application: Application
    shape: Shape
    folder: Path

    @property
    def stack(self) -> StackInfo:
        return self.harness.stack

    async def migrate(self, packages: Packages) -> None:
        """Push the worker's migrations, with the real CLI."""
        await migrate(self.stack, PROJECT, packages)

    async def upload(self, uploads: Sequence[Upload]) -> None:
        """Put recordings into the application's bucket."""
        for each in uploads:
            await self.harness.upload(each.content, each.path)

    @asynccontextmanager
    async def worker(self, **settings: str) -> AsyncIterator[WorkerProcess]:
        """Run a worker on the bucket, which it reads every second unless told otherwise."""
        settings = {"BUCKET_SWEEP_SECONDS": "1", "POLL_SECONDS": "1", **settings}
        async with self.harness.worker(self.folder, **settings) as worker:
            yield worker

    async def command(self, *arguments: str) -> str:
        """Run a command, which must succeed, and return what it printed."""
        code, printed, complained = await command(
            self.stack, self.folder, *arguments, C3D_BUCKET=BUCKET
        )
        assert code == 0, complained
        return printed

    async def sessions(self) -> dict[str, dict[str, Any]]:
        """The sessions by their paths without the bucket's name; none may have two."""
        found = await self.harness.database.fetch("select * from public.therapy_sessions")
        by_path = {row["file_path"].removeprefix(f"{BUCKET}/"): dict(row) for row in found}
        assert len(by_path) == len(found)
        return by_path

    async def uploads(self) -> dict[str, tuple[str, UUID | None]]:
        """Outcome and session of each upload, by its path."""
        found = await self.harness.database.fetch("select * from public.storage_intake")
        return {row["object_path"]: (row["outcome"], row["session_id"]) for row in found}

    async def until_all_is_read(self) -> None:
        """Wait until no session is pending, and no upload waits for one."""
        async with asyncio.timeout(60.0):
            while (
                {row["processing_status"] for row in (await self.sessions()).values()}
                & {"pending", "processing"}
                or not await self.uploads()
                or await self.harness.database.fetchval(UNSESSIONED)
            ):
                await asyncio.sleep(0.1)

    async def assert_read(self, upload: Upload) -> None:
        """Assert that this upload has one session, which says what the recording says."""
        row = (await self.sessions())[upload.path]
        assert row["processing_status"] == "completed", row["processing_error"]
        assert row["hash_measured_at"] is not None
        assert row["file_hash"] == of_content(upload)
        said = row["processing_error"] or "replaced: "
        assert said.startswith("replaced: ")
        assert "file_hash" not in said  # a hash of the path said nothing of the content
        expected = read_metadata(upload.content, len(upload.content)).row()
        assert await self.harness.technical(row["id"]) == expected


@asynccontextmanager
async def adopting(shape: Shape, folder: Path) -> AsyncIterator[Adopted]:
    """Run a stack with the application's tables, rows and bucket, not yet migrated."""
    running = RunningStack(folder / "data")
    try:
        await shape.make(running.info.database_url)
        async with harness_of(running.info) as whole, httpx.AsyncClient() as http:
            await whole.connection.supabase.storage.create_bucket(BUCKET)
            application = Application(running.info, http)
            yield Adopted(replace(whole, bucket=BUCKET), application, shape, folder)
    finally:
        running.end()


async def apply_page(stack: StackInfo, name: str) -> None:
    """Run a file of docs/sql as the project's owner."""
    await execute(stack.database_url, (SQL / f"{name}.sql").read_text())
