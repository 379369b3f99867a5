"""`look_at_queues()` says in how many seconds something that waits will be due."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.harness import Harness
from tests.integration.uploads import RECORDING, intake_of, object_of

SESSIONS = "update public.therapy_sessions set processing_due_at = now() + $1::interval"
UPLOADS = "update public.storage_intake set outcome = $2, due_at = now() + $1::interval"
LOOK = "select next_due_seconds from public.look_at_queues('c3d-files', false)"


@pytest.mark.parametrize(
    ("sessions", "uploads", "outcome", "expected"),
    [
        ("40 seconds", "20 seconds", "waiting", 20),
        ("10 seconds", "20 seconds", "waiting", 10),
        ("-1 seconds", "20 seconds", "waiting", 20),
        ("2 hours", "20 seconds", "taking", None),  # a lease is no time at which work begins
        ("2 hours", "2 hours", "waiting", None),
    ],
)
async def test_what_waits_longest_is_said_in_seconds(
    harness: Harness, sessions: str, uploads: str, outcome: str, expected: int | None
) -> None:
    await harness.session(RECORDING)
    object_id = await object_of(harness, await harness.upload(RECORDING, "P001/other.c3d"))
    await intake_of(harness).queue.announce(object_id)
    database: Any = harness.database
    async with database.transaction():  # one time for all
        await database.execute(SESSIONS.replace("$1", f"'{sessions}'"))
        await database.execute(UPLOADS.replace("$1", f"'{uploads}'").replace("$2", f"'{outcome}'"))
        found = await database.fetchval(LOOK)
    assert found == expected
