"""A reply lost on the way: it was done, and the worker does not know."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.harness import Harness
from tests.faults.injections import requests_meet
from tests.faults.proxy import OBJECTS
from tests.faults.rules import answer_late, lose_reply, throttle
from tests.faults.scenario import Plan, Scenario, full_only

LOST = 3.0  # seconds during which every reply is lost
BAD_FILES = 12

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(
    "function", [pytest.param("claim_sessions", marks=full_only), "complete_sessions"]
)
async def test_a_reply_lost_loses_no_session_and_repeats_none(
    harness: Harness, function: str
) -> None:
    fault = requests_meet(lose_reply, f"/rpc/{function}$", LOST)
    await harness.run_fault(f"reply lost on {function}", fault, attempts=0)


@full_only
async def test_a_failure_whose_reply_is_lost_is_kept_as_it_was_said(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        with scenario.proxy.trouble("/rpc/fail_session$", lose_reply) as rule:
            scenario.bad.update(await scenario.add_bad(BAD_FILES))
            await asyncio.sleep(LOST)
        assert rule.hits

    await harness.run_fault("reply lost on fail_session", fault, attempts=0)


@full_only
async def test_an_extension_whose_reply_is_lost_drops_no_session(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        with (
            scenario.proxy.trouble(OBJECTS, throttle(8_000)),  # four seconds a recording
            scenario.proxy.trouble("/rpc/extend_lease$", lose_reply) as rule,
        ):
            await asyncio.sleep(10.0)
        assert rule.hits

    await harness.run_fault("reply lost on extend_lease", fault, attempts=0)


@full_only
async def test_a_release_whose_reply_is_lost_gives_back_one_attempt(harness: Harness) -> None:
    async def fault(scenario: Scenario) -> None:
        with (
            scenario.proxy.trouble("/rpc/complete_sessions$", lose_reply, times=8),
            scenario.proxy.trouble("/rpc/release_sessions$", lose_reply) as rule,
        ):
            await asyncio.sleep(LOST)
        assert rule.hits

    await harness.run_fault("reply lost on release_sessions", fault, attempts=0)


@full_only
async def test_a_claim_answered_after_its_lease_loses_no_session(harness: Harness) -> None:
    fault = requests_meet(answer_late(7.0), "/rpc/claim_sessions$", 10.0)
    plan = Plan(allowed=16.0)  # the answers that are under way when it ends, and a lease
    await harness.run_fault("claims answered after their lease", fault, plan)
