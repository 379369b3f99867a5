"""A session whose completion the database cannot take costs none of those beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.integration.harness import Harness
from worker.local.recordings import ghostly_recording

RECORDING = ghostly_recording(seconds=2.0)
GOOD = 30
# As a project's own trigger may, with an error that is neither of the values nor of Supabase.
TRIGGER = """
create function public.object_to() returns trigger language plpgsql as $$
begin
  if new.processing_status = 'completed' and new.file_path like '%/poison.c3d' then
    raise exception 'not this one';
  end if;
  return new;
end $$;
create trigger object_to before update on public.therapy_sessions
for each row execute function public.object_to();
"""


@pytest.fixture
async def _poison(harness: Harness) -> AsyncIterator[None]:
    await harness.database.execute(TRIGGER)
    yield
    await harness.database.execute("drop function public.object_to() cascade")


@pytest.mark.usefixtures("_poison")
async def test_only_the_session_that_is_in_trouble_is_suspected(
    harness: Harness, tmp_path: Path
) -> None:
    poison = await harness.session(RECORDING[:-1] + b"p", path="P005/poison.c3d")
    good = [await harness.session(RECORDING[:-1] + bytes([n])) for n in range(GOOD)]
    suspected: set[UUID] = set()
    async with harness.worker(tmp_path, POLL_SECONDS="1") as worker:
        async for event in worker.follow(until="session_suspected"):
            if event["event"] == "session_suspected":
                suspected.add(UUID(event["session"]))
        await harness.until_done(good)
        more = [await harness.session(RECORDING[:-2] + bytes([n, 1])) for n in range(GOOD)]
        await harness.until_done(more)
        await worker.stop()
        async for event in worker.follow(until="worker_stopped"):
            if event["event"] == "session_suspected":
                suspected.add(UUID(event["session"]))
    assert suspected == {poison}
    rows = [await harness.row(session) for session in good + more]
    assert {row["processing_status"] for row in rows} == {"completed"}
    assert {row["processing_attempts"] for row in rows} == {1}
