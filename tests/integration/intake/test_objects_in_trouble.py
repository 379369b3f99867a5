"""Many uploads that are each the trouble themselves delay those behind them for seconds only."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.proxy import OBJECTS, Proxy
from tests.faults.rules import say
from tests.integration.harness import Harness
from tests.integration.uploads import numbered, sessions, settings_of
from worker.backend.installation import Installation
from worker.backend.object_store import ObjectStore
from worker.backend.queue_report import QueueReports
from worker.errors import DiskFullError, SchemaRefusesError, UnavailableError
from worker.intake.factory import make_intake, make_intake_loop
from worker.intake.reconciliation import Reconciliation
from worker.local.migrated import connected
from worker.queueing.outage import OutageCheck
from worker.settings import DEFAULT_BUCKET

ODD = 16  # one after the other, with pauses that grow, these would take minutes
TROUBLE = '{"statusCode": "500", "error": "InternalError", "message": "x"}'


async def test_sixteen_odd_objects_delay_the_one_behind_them_for_seconds(harness: Harness) -> None:
    for number in range(ODD):
        await harness.upload(numbered(number), f"P001/odd{number}.c3d")
    async with Proxy(harness.stack).serve() as proxy, connected(proxy.stack) as connection:
        settings = settings_of(proxy.stack, concurrency=2)
        intake = make_intake(connection, settings)
        await Reconciliation(intake.queue, lambda: None, every_seconds=0).reconcile()
        await harness.upload(numbered(99), "P001/whole.c3d")
        await Reconciliation(intake.queue, lambda: None, every_seconds=0).reconcile()
        outage = OutageCheck(
            ObjectStore(connection, DEFAULT_BUCKET),
            QueueReports(connection.supabase),
            Installation(connection),
        )
        loop = make_intake_loop(intake, settings, outage=outage)
        with proxy.trouble(f"{OBJECTS}P001/odd", say(400, TROUBLE)):
            running = asyncio.create_task(loop.run())
            async with asyncio.timeout(25):
                while not await sessions(harness):
                    await asyncio.sleep(0.1)
            loop.stop()
            await running
    assert [row["file_path"] for row in await sessions(harness)] == ["P001/whole.c3d"]


@pytest.mark.parametrize(
    ("trouble", "error", "is_everybodys"),
    [
        (None, UnavailableError("x"), False),
        ("^/storage/v1/bucket/", UnavailableError("x"), True),
        ("^/rest/", UnavailableError("x"), True),
        (None, SchemaRefusesError("x"), False),
        ("/rpc/try_session", SchemaRefusesError("x"), True),
        (None, DiskFullError("x"), True),
    ],
)
async def test_what_needs_no_object_tells_whose_trouble_it_is(
    harness: Harness, *, trouble: str | None, error: UnavailableError, is_everybodys: bool
) -> None:
    async with Proxy(harness.stack).serve() as proxy, connected(proxy.stack) as connection:
        check = OutageCheck(
            ObjectStore(connection, DEFAULT_BUCKET),
            QueueReports(connection.supabase),
            Installation(connection),
        )
        with proxy.trouble(trouble or "^/nothing", say(503)):
            assert await check.is_everybodys(error) is is_everybodys
