"""Where benchmarks play: a stack in a process of its own, recordings in it, and a finish line."""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import SecretStr

from worker.backend.uploads import Uploads
from worker.local.migrated import connected, migrate
from worker.local.packages import ensure_installed
from worker.local.recordings import ghostly_recording
from worker.local.stack import StackInfo
from worker.observing.logs import configure_logs
from worker.settings import DEFAULT_BUCKET, Settings

PROJECT = Path(__file__).resolve().parent.parent
CORPUS = PROJECT.parent / "shared" / "c3d-corpus"
UPLOADS_AT_ONCE = 4
ROUND_SECONDS = 300.0  # seconds for a round

# Only for the measuring: who waits for a row hears of it at its commit.
TOOLS = """
create function public.announce_row() returns trigger language plpgsql as $$
begin
  perform pg_notify('row_written', new.session_id::text);
  return null;
end $$;
create trigger announce_row after insert or update on public.c3d_technical_data
  for each row execute function public.announce_row();
"""
INSERT = """
insert into public.therapy_sessions (
  file_path, file_hash, file_size_bytes, original_filename, hash_measured_at
)
select *, case when $4 then now() end
from unnest($1::text[], $2::text[], $3::integer[], $1::text[])
returning id
"""


@dataclass(frozen=True, slots=True)
class Recording:
    """An object in the bucket."""

    path: str
    sha256: str
    size: int


@dataclass(slots=True)
class Harness:
    """A migrated stack, and the sessions of the round that is under way."""

    stack: StackInfo
    folder: Path
    database: asyncpg.Connection[asyncpg.Record]
    _written: dict[UUID, float] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def clear(self) -> None:
        """Forget the sessions of the round before."""
        await self.database.execute("truncate public.therapy_sessions cascade")
        self._written.clear()

    async def announces(self, bucket: str | None) -> None:
        """Have uploads to a bucket announce themselves to the workers; None: to no bucket."""
        await self.database.execute("update public.worker_settings set bucket = $1", bucket)

    async def insert(
        self, recordings: Sequence[Recording], *, measured: bool = False
    ) -> list[UUID]:
        """Create their sessions, all in one statement; a hash that is `measured` is a worker's."""
        columns = zip(*((each.path, each.sha256, each.size) for each in recordings), strict=True)
        return [row["id"] for row in await self.database.fetch(INSERT, *columns, measured)]

    async def written(
        self, sessions: Sequence[UUID], *, within: float = ROUND_SECONDS
    ) -> list[float]:
        """Wait until all have their rows, and return when each became visible, in order."""
        async with asyncio.timeout(within):
            while not self._written.keys() >= set(sessions):
                self._news.clear()
                await self._news.wait()
        return sorted(self._written[each] for each in sessions)

    async def upload(self, path: str, file: Path) -> Recording:
        """Put a file into the bucket, streamed."""
        described = await asyncio.to_thread(_described, path, file)
        async with connected(self.stack) as connection:
            await Uploads(connection, DEFAULT_BUCKET).upload(path, file, lambda _: None)
        return described

    async def recordings(self, name: str, contents: Sequence[bytes], count: int) -> list[Recording]:
        """Upload so many recordings, each unlike the others by its last sample."""
        numbers = iter(range(count))
        recordings: list[Recording] = []

        async def uploader() -> None:
            async with connected(self.stack) as connection:
                bucket = connection.supabase.storage.from_(DEFAULT_BUCKET)
                for number in numbers:
                    content = numbered(contents[number % len(contents)], number)
                    path = f"P005/{name}-{number}.c3d"
                    await bucket.upload(path, content)
                    digest = hashlib.sha256(content).hexdigest()
                    recordings.append(Recording(path, digest, len(content)))

        await asyncio.gather(*(uploader() for _ in range(UPLOADS_AT_ONCE)))
        return recordings

    def hear(self, *notification: Any) -> None:
        """Note when a row became visible."""
        self._written.setdefault(UUID(notification[-1]), time.perf_counter())
        self._news.set()


def _described(path: str, file: Path) -> Recording:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return Recording(path, digest, file.stat().st_size)


def numbered(content: bytes, number: int) -> bytes:
    """Return the recording with another last sample."""
    return content[:-4] + struct.pack("<f", number)


def sessions_of_the_game(seconds: float) -> list[bytes]:
    """Real recordings of the game where the corpus is at hand, else made ones of that length."""
    real = sorted(CORPUS.rglob("Ghostly_Emg_*.c3d")) if CORPUS.is_dir() else []
    return [path.read_bytes() for path in real] or [
        ghostly_recording(seconds, seed) for seed in range(4)
    ]


def settings_of(stack: StackInfo) -> Settings:
    """Return the settings of what works on a stack in this process, and let it log only trouble."""
    settings = Settings(
        _env_file=None,
        log_level="WARNING",
        supabase_url=stack.url,
        supabase_secret_key=SecretStr(stack.secret_key),
    )
    configure_logs(settings.log_level, settings.log_format)
    return settings


@asynccontextmanager
async def open_harness(folder: Path) -> AsyncIterator[Harness]:
    """Start a stack in a process of its own, so that its work is nobody else's, and migrate it."""
    packages = ensure_installed(print)
    env_file = folder / "stack.env"
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "worker.local"),
        *(str(folder / "stack"), str(env_file)),
        cwd=PROJECT,
        env=dict(os.environ),
    )
    try:
        while not env_file.exists():
            if process.returncode is not None:
                raise SystemExit("The local stack did not start.")
            await asyncio.sleep(0.02)
        stack = StackInfo.read(env_file)
        await migrate(stack, PROJECT, packages)
        database = await asyncpg.connect(stack.database_url, statement_cache_size=0)
        try:
            await database.execute(TOOLS)
            harness = Harness(stack, folder, database)
            await harness.announces(None)  # most benchmarks make their sessions themselves
            await database.add_listener("row_written", harness.hear)
            yield harness
        finally:
            await database.close()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
