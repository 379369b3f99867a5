"""An answer that is empty, and what happens between two steps, cost an upload nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from aiohttp import web

from tests.faults.rules import Exchange
from tests.integration.databases import connected
from tests.integration.harness import Harness
from tests.integration.uploads import (
    RECORDING,
    behind,
    details,
    intake_of,
    numbered,
    object_of,
    object_without_bytes,
    register,
    sessions,
    sweep_of,
    wait_over,
)
from worker.backend.queued_uploads import Outcome
from worker.errors import UnavailableError


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.queueing.claim_loop.INITIAL_PAUSE", 0.05)


# --- whatever PostgREST answers -------------------------------------------------------------------


async def emptied(exchange: Exchange) -> web.StreamResponse:
    """Let the stack do it, and answer 200 without a byte."""
    await exchange.pass_on()
    return web.Response(status=200, content_type="application/json")


@pytest.mark.parametrize(
    "function",
    ["announce_objects", "claim_objects", "take_objects", "finish_object", "release_objects"],
)
async def test_an_empty_answer_costs_no_upload(harness: Harness, function: str) -> None:
    await harness.upload(numbered(1), "P001/a.c3d")
    await object_without_bytes(harness, "P001/missing.c3d")
    await object_without_bytes(harness, "P001/a\nb.c3d")
    async with behind(harness, lease_seconds=5) as (proxy, sweep):
        with proxy.trouble(f"^/rest/v1/rpc/{function}$", emptied, times=1) as rule:
            with suppress(UnavailableError):
                await sweep.sweep()
            assert rule.hits == 1
        await wait_over(harness)
        await sweep.sweep()
    outcomes = {path: outcome for path, outcome, _ in await register(harness)}
    assert outcomes == {
        "P001/a.c3d": "session",
        "P001/missing.c3d": "waiting",
        "P001/a\nb.c3d": "refused",
    }
    assert len(await sessions(harness)) == 1
    assert str((await details(harness))["P001/missing.c3d"]).startswith("object_missing: ")


async def test_an_empty_answer_to_an_announcement_is_no_absence(harness: Harness) -> None:
    path = await harness.upload(RECORDING)
    async with behind(harness) as (proxy, sweep):
        with (
            proxy.trouble("^/rest/v1/rpc/announce_object$", emptied),
            pytest.raises(UnavailableError, match="without a body"),
        ):
            await sweep.intake.take_now(await object_of(harness, path))
    assert await sweep_of(harness).sweep() == 1


async def test_a_claim_whose_answer_was_empty_is_answered_again(harness: Harness) -> None:
    await harness.upload(RECORDING)
    async with behind(harness) as (proxy, sweep):
        with proxy.trouble("^/rest/v1/rpc/claim_objects$", emptied, times=1):
            assert await sweep.sweep() == 1
    found = await harness.database.fetchrow("select * from storage_intake")
    assert found is not None
    assert found["attempts"] == 1


# --- what happens between two steps ---------------------------------------------------------------


async def test_a_session_made_meanwhile_makes_the_upload_its_duplicate(harness: Harness) -> None:
    path = await harness.upload(RECORDING, "P001/a.c3d")
    intake = intake_of(harness)
    await intake.queue.announce(await object_of(harness, path))
    claimed = await intake.queue.claim_one(await object_of(harness, path))
    assert claimed is not None
    session = await harness.session(RECORDING, path="P002/b.c3d")
    assert (await intake.take(claimed)).session == session
    assert [row[1:] for row in await register(harness)] == [("duplicate", session)]


async def test_a_session_deleted_meanwhile_makes_the_upload_a_session_of_its_own(
    harness: Harness,
) -> None:
    await harness.session(RECORDING, path="P002/b.c3d")
    path = await harness.upload(RECORDING, "P001/a.c3d")
    intake, object_id = intake_of(harness), await object_of(harness, path)
    async with connected(harness.stack.database_url) as other:
        async with other.transaction():
            await other.execute("delete from public.therapy_sessions")
            taking = asyncio.create_task(intake.take_now(object_id))
            await asyncio.sleep(0.5)
            assert not taking.done()  # it waits for the lock
        taken = await taking
    assert taken is not None
    assert (taken.outcome, taken.detail) == (Outcome.SESSION, None)
    (session,) = await sessions(harness)
    assert session["id"] == taken.session


async def test_a_claim_that_went_to_another_changes_nothing(harness: Harness) -> None:
    path = await harness.upload(RECORDING)
    slow, fast = intake_of(harness, lease_seconds=5), intake_of(harness)
    object_id = await object_of(harness, path)
    await slow.queue.announce(object_id)
    claimed = await slow.queue.claim_one(object_id)
    assert claimed is not None
    await wait_over(harness)
    again = await fast.queue.claim_one(object_id)
    assert again is not None
    assert await slow.queue.extend([claimed]) == {}
    assert (await slow.take(claimed)).outcome is Outcome.LOST
    assert await sessions(harness) == []
    assert (await fast.take(again)).outcome is Outcome.SESSION
