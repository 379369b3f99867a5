"""A session that cannot be completed, or whose object cannot be read, costs none of the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.faults.proxy import OBJECTS, Proxy
from tests.faults.rules import say
from tests.integration.harness import Harness
from tests.integration.uploads import numbered
from worker.local.worker_process import worker_process

GOOD = 30
REFUSED = "row_refused: A rule of therapy_sessions refuses to complete the session."
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
DUE = """
update public.therapy_sessions set processing_due_at = now()
where id = $1 and processing_status = 'pending'
"""


async def _put_off(harness: Harness, session: UUID) -> dict[str, Any]:
    """Wait until the session is due later than now, and return its row."""
    async with asyncio.timeout(10):
        while True:
            row = await harness.until(session, "pending")
            if row["processing_due_at"] > row["updated_at"] + timedelta(seconds=1):
                return row
            await asyncio.sleep(0.02)


@asynccontextmanager
async def _poison(harness: Harness) -> AsyncIterator[None]:
    await harness.database.execute(TRIGGER)
    try:
        yield
    finally:
        await harness.database.execute("drop function public.object_to() cascade")


async def test_a_row_that_refuses_to_be_completed_waits_and_heals_when_the_rule_goes(
    harness: Harness, tmp_path: Path
) -> None:
    """No number of attempts makes the owner's rule a fault of the recording."""
    poison = await harness.session(numbered(0), path="P005/poison.c3d")
    good = [await harness.session(numbered(n)) for n in range(1, GOOD)]
    async with harness.worker(tmp_path, POLL_SECONDS="1", MAX_ATTEMPTS="1") as worker:
        async with _poison(harness):
            waits = []
            for _ in range(3):
                event = await worker.until("session_done")
                while event["session"] != str(poison):
                    event = await worker.until("session_done")
                assert (event["outcome"], event["code"]) == ("pending", "row_refused")
                row = await harness.row(poison)
                assert row["processing_status"] == "pending"
                assert row["processing_attempts"] == 0
                waits.append((row["processing_due_at"] - row["updated_at"]).total_seconds())
                assert row["processing_error"].startswith(REFUSED)
                assert "It said: not this one (P0001)" in row["processing_error"]
                await harness.database.execute(DUE, poison)
            assert waits[0] < 5.1  # seconds, down to half
            assert waits[2] > 9.9  # doubled twice
            await harness.until_done(good)
        await harness.database.execute(DUE, poison)
        row = await harness.until(poison, "completed", "failed")
    assert row["processing_status"] == "completed"
    assert row["processing_error"] is None
    said = b"".join(worker.said).decode()
    assert not [event for event in ("session_suspected", "claiming_paused") if event in said]
    rows = [await harness.row(session) for session in good]
    assert {row["processing_status"] for row in rows} == {"completed"}
    assert {row["processing_attempts"] for row in rows} == {1}


async def test_an_object_that_storage_alone_cannot_read_is_put_off_alone_and_never_fails(
    harness: Harness, tmp_path: Path
) -> None:
    odd = await harness.session(numbered(0), path="P005/odd.c3d")
    suspected: list[tuple[UUID, int]] = []
    async with Proxy(harness.stack).serve() as proxy:
        with proxy.trouble(f"{OBJECTS}P005/odd", say(500, '{"message": "x"}')):
            async with worker_process(
                proxy.stack, tmp_path, POLL_SECONDS="1", MAX_ATTEMPTS="2"
            ) as worker:
                for times in range(1, 7):  # more often than there are attempts
                    good = [await harness.session(numbered(10 * times + n)) for n in range(5)]
                    await harness.until_done(good)
                    if times > 1:
                        await harness.database.execute(DUE, odd)
                    event = await worker.until("session_suspected")
                    suspected.append((UUID(event["session"]), event["times"]))
                    waiting = await _put_off(harness, odd)
                    seconds = (waiting["processing_due_at"] - waiting["updated_at"]).total_seconds()
                    assert 0.5 * 5 * 2 ** (times - 1) <= seconds <= 5 * 2 ** (times - 1)
                    assert waiting["processing_error"].startswith("supabase_unavailable: ")
                    assert waiting["processing_attempts"] == 0
        async with harness.worker(tmp_path, POLL_SECONDS="1"):
            await harness.database.execute(DUE, odd)
            row = await harness.until(odd, "completed", "failed")
    assert row["processing_status"] == "completed"
    assert suspected == [(odd, times) for times in range(1, 7)]
    assert await harness.counts() == {"completed": 31}
