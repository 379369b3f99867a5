"""An installation that is broken for a moment, and what a check finds in it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.integration.databases import execute
from tests.integration.uploads import settings_of
from worker.backend.installation import Installation
from worker.check.findings import Check, Finding, Verdict
from worker.check.order import check
from worker.check.schema import schema
from worker.local.migrated import SETTLE_SECONDS, connected
from worker.local.postgres import SUPERUSER, as_role
from worker.local.stack import StackInfo
from worker.settings import Settings

PUBLISH = """
create publication supabase_realtime for table public.therapy_sessions, public.worker_bells;
alter publication supabase_realtime owner to postgres
"""

Found = dict[Check, list[Finding]]


def settings_for(stack: StackInfo, **settings: Any) -> Settings:
    """Return settings that fit the stack, and any disk, unless told otherwise."""
    return settings_of(stack, **{"max_file_mb": 1, "concurrency": 1, **settings})


async def found_in(stack: StackInfo, **settings: Any) -> Found:
    """Check, and return the findings of each check; none may be left out."""
    found: Found = defaultdict(list)
    for finding in await check(settings_for(stack, **settings)):
        found[finding.check].append(finding)
    assert list(found) == list(Check)
    return found


def verdicts(found: Found) -> dict[Check, Verdict]:
    """Return the verdicts that are neither good nor a note."""
    return {
        check: finding.verdict
        for check, findings in found.items()
        for finding in findings
        if finding.verdict not in {Verdict.GOOD, Verdict.NOTE}
    }


@asynccontextmanager
async def broken(stack: StackInfo, breaking: str, mending: str) -> AsyncIterator[None]:
    """Run one script as the superuser, and the other at the end, until the API serves all again."""
    url = as_role(stack.database_url, SUPERUSER)
    await execute(url, breaking)
    try:
        yield
    finally:
        await execute(url, mending)
        async with connected(stack) as connection, asyncio.timeout(SETTLE_SECONDS):
            while schema(await Installation(connection).api(), None)[0].verdict is Verdict.BAD:
                await asyncio.sleep(0.05)
