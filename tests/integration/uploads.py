"""What the tests of intake share: recordings, intakes, and what they left behind."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from tests.faults.proxy import Proxy
from tests.integration.harness import Harness
from worker.backend.connection import Connection
from worker.backend.queue_look import QueueLooks
from worker.backend.queued_uploads import UNFINISHED, ClaimedObject
from worker.intake.factory import make_intake, make_intake_loop
from worker.intake.intake import Intake
from worker.intake.reconciliation import Reconciliation
from worker.local.migrated import connected
from worker.local.recordings import ghostly_recording
from worker.local.stack import StackInfo
from worker.service.poll import Poll
from worker.settings import DEFAULT_BUCKET, Settings

RECORDING = ghostly_recording(seconds=5.0)
NEVER = "3600"  # seconds: a poll or sweep that comes no more within a test


def numbered(number: int) -> bytes:
    """Return a recording unlike the others, by its last sample."""
    return RECORDING[:-4] + struct.pack("<f", number)


def settings_of(stack: StackInfo, **others: Any) -> Settings:
    """Return settings for a stack, whatever the environment says."""
    key = SecretStr(stack.secret_key)
    values = {"supabase_url": stack.url, "supabase_secret_key": key, **others}
    return Settings(_env_file=None, **values)


def intake_of(harness: Harness, **others: Any) -> Intake:
    """Return an intake in this process, with the harness's connection."""
    return make_intake(harness.connection, settings_of(harness.stack, **others))


@dataclass(frozen=True, slots=True)
class Sweep:
    """A pass over the bucket, and the intake of what is due after it, in this process."""

    connection: Connection
    intake: Intake
    settings: Settings

    async def sweep(self) -> int:
        """Announce the bucket, take in what is due, and return how many uploads ended."""
        ended = 0

        async def take(claimed: ClaimedObject) -> None:
            nonlocal ended
            result = await self.intake.take(claimed)
            ended += result.outcome not in UNFINISHED

        await self.announce()
        await make_intake_loop(self.intake, self.settings, take).drain()
        return ended

    async def announce(self) -> int:
        """Announce the bucket, and return how many objects were not in the queue before."""
        reconciliation = Reconciliation(self.intake.queue, _nothing, every_seconds=0)
        queue = self.intake.queue
        poll = Poll(
            QueueLooks(self.connection.supabase, queue.bucket, every_file=queue.every_file),
            reconciliation,
            wake_sessions=_nothing,
            wake_intake=_nothing,
            stop=_nothing,
            seconds=1,
        )
        announced = await reconciliation.reconcile()
        await poll.look()
        return announced


def _nothing() -> None:
    """Wake nobody: the test itself does the work."""


def sweep_of(harness: Harness, connection: Connection | None = None, **others: Any) -> Sweep:
    """Return a sweep in this process, with an intake of its own."""
    settings = settings_of(harness.stack, **others)
    connection = connection or harness.connection
    return Sweep(connection, make_intake(connection, settings), settings)


@asynccontextmanager
async def behind(harness: Harness, **others: Any) -> AsyncIterator[tuple[Proxy, Sweep]]:
    """Yield a proxy, and a sweep whose requests pass through it."""
    async with Proxy(harness.stack).serve() as proxy, connected(proxy.stack) as connection:
        yield proxy, sweep_of(harness, connection, **others)


async def object_without_bytes(harness: Harness, path: str, metadata: str = "{}") -> None:
    """Have a row in Storage without bytes."""
    await harness.database.execute(
        "insert into storage.objects (bucket_id, name, version, metadata) values ($1, $2, '1', $3)",
        DEFAULT_BUCKET,
        path,
        metadata,
    )


async def overwrite(harness: Harness, path: str, content: bytes) -> None:
    """Put other bytes where an object is."""
    await harness.connection.supabase.storage.from_(DEFAULT_BUCKET).update(path, content)


async def object_of(harness: Harness, path: str) -> UUID:
    """Return the id of an object."""
    found = await harness.database.fetchval(
        "select id from storage.objects where bucket_id = $1 and name = $2", DEFAULT_BUCKET, path
    )
    assert isinstance(found, UUID)
    return found


async def version_of(harness: Harness, path: str) -> str:
    """Return the version of an object."""
    found = await harness.database.fetchval(
        "select version from storage.objects where bucket_id = $1 and name = $2",
        DEFAULT_BUCKET,
        path,
    )
    assert isinstance(found, str)
    return found


async def register(harness: Harness) -> list[tuple[str, str, UUID | None]]:
    """Path, outcome and session of every upload that ended, in that order; then the others."""
    rows = await harness.database.fetch(
        "select object_path, outcome, session_id from public.storage_intake"
        " order by taken_at, announced_at"
    )
    return [tuple(row) for row in rows]


async def details(harness: Harness) -> dict[str, str | None]:
    """What each upload waits for, or why it was refused, by its path."""
    rows = await harness.database.fetch("select object_path, detail from public.storage_intake")
    return {row["object_path"]: row["detail"] for row in rows}


async def sessions(harness: Harness) -> list[dict[str, Any]]:
    """All sessions, the oldest first."""
    rows = await harness.database.fetch(
        "select * from public.therapy_sessions order by created_at, id"
    )
    return [dict(row) for row in rows]


async def wait_over(harness: Harness) -> None:
    """Make everything that was put off due."""
    await harness.database.execute(
        "update public.storage_intake set due_at = clock_timestamp() - interval '1 second'"
        " where outcome in ('waiting', 'taking')"
    )
