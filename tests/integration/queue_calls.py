"""The queue's functions, called as a worker calls them, and the rows they work on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from tests.integration.databases import Connection

MAX_ATTEMPTS: Final = 3
TECHNICAL: Final = {
    "original_sampling_rate": 990.0,
    "original_duration_seconds": 75.03125,  # survives `real` unchanged
    "original_sample_count": 74280,
    "channel_count": 2,
    "channel_names": ["CH1 Raw", ""],
    "sampling_rate": 33.0,
    "duration_seconds": 75.03125,
    "frame_count": 2476,
}


async def add(database: Connection, **values: Any) -> UUID:
    """Insert a session; it is pending and due unless `values` say otherwise."""
    hashed = uuid4().hex + uuid4().hex
    row = {
        "file_path": f"P005/{hashed[:8]}.c3d",
        "file_hash": hashed,
        "file_size_bytes": 1000,
        "original_filename": f"{hashed[:8]}.c3d",
        "hash_measured_at": datetime.now(UTC),
        **values,
    }
    columns = ", ".join(row)
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    session: UUID = await database.fetchval(
        f"insert into public.therapy_sessions ({columns}) values ({places}) returning id",
        *row.values(),
    )
    return session


async def row(database: Connection, session: UUID) -> dict[str, Any]:
    """Return the session's whole row."""
    found = await database.fetchrow("select * from public.therapy_sessions where id = $1", session)
    assert found is not None
    return dict(found)


async def technical_row(database: Connection, session: UUID) -> dict[str, Any] | None:
    """Return the session's technical row, if it has one."""
    found = await database.fetchrow(
        "select * from public.c3d_technical_data where session_id = $1", session
    )
    return dict(found) if found else None


async def backdate(database: Connection, session: UUID, seconds: float) -> None:
    """Let the session's due time, or the end of its lease, be some seconds ago."""
    await database.execute(
        "update public.therapy_sessions "
        "set processing_due_at = clock_timestamp() - make_interval(secs => $2) where id = $1",
        session,
        seconds,
    )


async def claim(
    database: Connection,
    claim_id: UUID,
    batch_size: int = 10,
    lease_seconds: int = 60,
    *,
    with_abandoned: bool = True,
) -> list[UUID]:
    """Claim sessions and return their ids."""
    claimed = await database.fetch(
        "select id from public.claim_sessions($1, $2, $3, $4, $5)",
        claim_id,
        batch_size,
        lease_seconds,
        MAX_ATTEMPTS,
        with_abandoned,
    )
    return [record["id"] for record in claimed]


async def held(database: Connection, **values: Any) -> tuple[UUID, UUID]:
    """Insert a session and claim it; return the session and the claim."""
    session, claim_id = await add(database, **values), uuid4()
    assert await claim(database, claim_id) == [session]
    return session, claim_id


async def complete(
    database: Connection,
    session: UUID,
    claim_id: UUID,
    *,
    technical: Any = TECHNICAL,
    content_hash: str | None = "cd" * 32,
    game: Any = None,
) -> str:
    """Complete a session."""
    return str(
        await database.fetchval(
            "select public.complete_session($1, $2, $3, $4, $5)",
            session,
            claim_id,
            json.dumps(technical),
            content_hash,
            json.dumps(game or {}),
        )
    )


async def fail(
    database: Connection, session: UUID, claim_id: UUID, retry_seconds: float | None = None
) -> str:
    """Fail a session."""
    return str(
        await database.fetchval(
            "select public.fail_session($1, $2, 'object_missing', 'No such file.', $3, $4)",
            session,
            claim_id,
            MAX_ATTEMPTS,
            retry_seconds,
        )
    )


async def release(
    database: Connection, claims: Sequence[UUID], sessions: Sequence[UUID]
) -> list[UUID]:
    """Release sessions and return the ids given back."""
    given_back = await database.fetch(
        "select * from public.release_sessions($1, $2)", list(claims), list(sessions)
    )
    return [record[0] for record in given_back]


async def extend(
    database: Connection, claims: Sequence[UUID], sessions: Sequence[UUID], seconds: int = 60
) -> dict[UUID, bool]:
    """Extend leases; return the sessions still held, and whether their leases were extended."""
    still_held = await database.fetch(
        "select * from public.extend_lease($1, $2, $3)", list(claims), list(sessions), seconds
    )
    return {record["session"]: record["extended"] for record in still_held}


async def requeue(database: Connection, session: UUID, *, force: bool = False) -> str:
    """Requeue a session."""
    return str(
        await database.fetchval(
            "select public.requeue_session($1, 'a new reader', $2)", session, force
        )
    )
