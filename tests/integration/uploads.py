"""What the tests of intake share: recordings, intakes, and what they left behind."""

from __future__ import annotations

import struct
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from tests.integration.harness import Harness
from worker.intake.bucket_sweep import BucketSweep
from worker.intake.factory import make_intake, make_sweep
from worker.intake.intake import Intake
from worker.local.recordings import ghostly_recording
from worker.local.stack import StackInfo
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


def sweep_of(harness: Harness, **others: Any) -> BucketSweep:
    """Return a sweep in this process, with an intake of its own."""
    return make_sweep(intake_of(harness, **others), settings_of(harness.stack, **others))


async def overwrite(harness: Harness, path: str, content: bytes) -> None:
    """Put other bytes where an object is."""
    await harness.connection.supabase.storage.from_(DEFAULT_BUCKET).update(path, content)


async def object_of(harness: Harness, path: str) -> tuple[UUID, str]:
    """The id and the version of an object."""
    row = await harness.database.fetchrow(
        "select id, version from storage.objects where bucket_id = $1 and name = $2",
        DEFAULT_BUCKET,
        path,
    )
    assert row is not None
    return row["id"], row["version"]


async def register(harness: Harness) -> list[tuple[str, str, UUID | None]]:
    """Path, outcome and session of everything that was taken in, in that order."""
    rows = await harness.database.fetch(
        "select object_path, outcome, session_id from public.storage_intake order by taken_at"
    )
    return [tuple(row) for row in rows]


async def sessions(harness: Harness) -> list[dict[str, Any]]:
    """All sessions, the oldest first."""
    rows = await harness.database.fetch(
        "select * from public.therapy_sessions order by created_at, id"
    )
    return [dict(row) for row in rows]


async def wait_over(harness: Harness) -> None:
    """Make everything that was put off due."""
    await harness.database.execute(
        "update public.storage_intake set held_until = clock_timestamp() - interval '1 second'"
        " where outcome = 'taking'"
    )
