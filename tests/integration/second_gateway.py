"""A second gateway to a running stack, in the tests' own process, whose Realtime can be changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from worker.local.gateway import gateway
from worker.local.ports import HOST, hold
from worker.local.realtime.server import Realtime
from worker.local.stack import StackInfo


@asynccontextmanager
async def second_gateway(
    stack: StackInfo, objects: Path
) -> AsyncIterator[tuple[StackInfo, Realtime]]:
    """Yield the same stack behind another address, and the Realtime that serves there.

    `objects` is the folder of Storage's files: the stack's own, or another for a test that reads
    none of them.
    """
    with hold(0, "a test") as listener:
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        rest = f"{stack.url}/rest/v1"  # through the first gateway
        async with gateway(listener, stack.database_url, rest, objects) as realtime:
            yield replace(stack, url=url), realtime
