"""Rows that their owner lets nobody change stand at the head of the queue, and stop nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.harness import Harness
from tests.integration.uploads import numbered

MANY, OTHERS = 1000, 20
ROWS = """
insert into public.therapy_sessions
  (file_path, file_hash, file_size_bytes, original_filename, patient_id, processing_due_at)
select 'P7/' || n || '.c3d', 'hash ' || n, 1, n || '.c3d', 'P7', now() - interval '1 hour'
from generate_series(1, $1::integer) as n
"""
RULE = """
create function public.p7_is_closed() returns trigger language plpgsql as $$
begin
  {does};
end $$;
create trigger p7_is_closed before update on public.therapy_sessions
for each row when (old.patient_id = 'P7') execute function public.p7_is_closed();
"""
REFUSALS = {
    "P7 is closed (P0001)": "raise exception 'P7 is closed'",
    "P7 is closed (P0004)": "assert false, 'P7 is closed'",
}


@pytest.fixture(params=REFUSALS)
async def refusal(harness: Harness, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Have many rows that refuse to be changed, and return what they say."""
    await harness.database.execute(ROWS, MANY)
    await harness.database.execute(RULE.replace("{does}", REFUSALS[request.param]))
    yield request.param
    await harness.database.execute("drop function public.p7_is_closed() cascade")


async def test_a_thousand_rows_that_refuse_their_update_keep_back_no_other(
    harness: Harness, tmp_path: Path, refusal: str
) -> None:
    others = [await harness.session(numbered(number)) for number in range(OTHERS)]
    async with harness.worker(tmp_path, POLL_SECONDS="1") as worker:
        await worker.until("worker_started")
        await harness.until_done(others, seconds=20)
        assert await harness.counts() == {"completed": OTHERS, "pending": MANY}
    assert b"supabase_unavailable" not in b"".join(worker.said)
    seen = await harness.database.fetch(
        "select state, what_to_do, count(*) from public.session_overview"
        " where patient = 'P7' group by 1, 2"
    )
    ((state, what_to_do, number),) = [tuple(row) for row in seen]
    assert (state, number) == ("set aside: its row refuses to be changed", MANY)
    assert what_to_do.startswith("row_refused: ")
    assert refusal in what_to_do
