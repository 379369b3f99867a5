"""The migrations on a table of a million sessions, while an application goes on using it.

A hosted project ends a statement after two minutes, and a request of the application after eight
seconds. So no statement may need a limit that it does not have, and no reader may wait that long.
Writers wait: docs/migrating.md asks for a maintenance window and says how long.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from tests.faults.scenario import full_only
from tests.integration.application.shapes import SCHEMA
from tests.integration.databases import connected
from tests.integration.migrating import MIGRATIONS, OLD_DEFAULT_PRIVILEGES, OURS
from worker.local.packages import Packages
from worker.local.postgres import cluster

SESSIONS: Final = 1_000_000
PERIOD_SECONDS: Final = 0.05  # between two requests of the reader, and of the writer
READER_WAITS_SECONDS: Final = 8.0  # what authenticator's statement_timeout leaves a request

_UPLOADED: Final = """
create temporary table uploaded (
  number integer, file_path text, file_hash text, size_bytes bigint, patient_code text, status text,
  uploaded_at timestamptz, rate real, seconds real, samples integer, channels integer, names text[]
)
"""
# Of five sessions four are completed, of those one with invented values and one with none; the last
# failed, or is in a state that this project does not know. Patients have a thousand sessions each.
_FILL: Final = """
insert into uploaded
select
  n,
  format('c3d-examples/%s/Ghostly_Emg_20250901_%s.c3d', code, n),
  encode(sha256(convert_to('recording ' || n, 'UTF8')), 'hex'),
  1047104,
  code,
  case when n % 5 < 4 then 'completed' when n % 2 = 0 then 'failed' else 'reprocessing' end,
  timestamptz '2025-09-01 09:30+00' + n * interval '1 minute',
  (array[990, 1000, 0])[n % 3 + 1], (array[75.03, 0.5, 0])[n % 3 + 1],
  (array[74280, 1, 0])[n % 3 + 1], (array[2, 0, 0])[n % 3 + 1],
  case when n % 3 = 0 then array['CH1', 'CH2'] else '{}' end
from generate_series(1, $1::integer) as n,
  lateral (select format('P%s', lpad((n % 1000)::text, 3, '0')) as code) as patient
"""
# The newest schema numbers the sessions of a patient up to 999 and knows two therapists.
_OVER_THE_LIMITS: Final = (
    ("format('%sS%s', patient_code, lpad(number::text, 3, '0'))", "gen_random_uuid()::text"),
    ("substr(patient_code, 4, 1)", "1 + substr(patient_code, 4, 1)::integer % 2"),
)


@dataclass
class Client:
    """Sends the same request again and again, and remembers how long it had to wait at most."""

    request: str
    longest: float = 0.0  # seconds
    migration: str = ""  # during which that was

    async def go_on(self, url: str, at_work: list[str]) -> None:
        async with connected(url) as connection:
            await connection.execute("set statement_timeout = 0; set lock_timeout = 0")
            while True:
                began, migration = time.monotonic(), at_work[-1]
                await connection.execute(self.request)
                if (waited := time.monotonic() - began) > self.longest:
                    self.longest, self.migration = waited, migration
                await asyncio.sleep(PERIOD_SECONDS)


@pytest.mark.timeout(1800)
@full_only
@pytest.mark.parametrize("shape", ["2025-08-25", "newest"])
async def test_a_million_sessions_are_migrated_while_they_are_read(
    shape: str, tmp_path: Path, packages: Packages, capsys: pytest.CaptureFixture[str]
) -> None:
    async with cluster(packages.postgres_binaries, tmp_path, 0) as url:
        await fill(url, shape, SESSIONS)
        seconds, clients = await migrate_beside_clients(url)
        lines = [f"\n{SESSIONS:,} sessions, {shape}: {sum(seconds.values()):.1f} s"]
        lines += [f"{needed:8.2f} s  {name}" for name, needed in seconds.items()]
        lines += [
            f"The {who} waited {client.longest:.2f} s at most, in {client.migration}"
            for who, client in clients.items()
        ]
        with capsys.disabled():
            sys.stdout.write("\n".join([*lines, ""]))
        assert clients["reader"].longest < READER_WAITS_SECONDS
        await assert_migrated(url, SESSIONS)


async def fill(url: str, shape: str, sessions: int) -> None:
    """Make the application's tables with so many sessions."""
    schema = (SCHEMA / f"{shape}.sql").read_text()
    for limit, wider in _OVER_THE_LIMITS:
        schema = schema.replace(limit, wider)
    async with connected(url) as connection:
        await connection.execute("set statement_timeout = 0")
        await connection.execute(OLD_DEFAULT_PRIVILEGES)
        await connection.execute(_UPLOADED)
        await connection.execute(_FILL, sessions)
        await connection.execute(schema)
        await connection.execute("drop table uploaded")
        await connection.execute("vacuum analyze")


async def migrate_beside_clients(url: str) -> tuple[dict[str, float], dict[str, Client]]:
    """Apply the migrations beside a reader and a writer; return the seconds of each, and both."""
    async with connected(url) as connection:
        one = await connection.fetchval("select max(id::text) from public.therapy_sessions")
    reader = Client(f"select * from public.therapy_sessions where id = '{one}'")
    writer = Client(
        "update public.therapy_sessions set game_metadata = game_metadata || '{\"seen\": 1}'"
        f" where id = '{one}'"
    )
    seconds: dict[str, float] = {}
    at_work = ["none"]
    async with at_the_same_time(url, at_work, reader, writer), connected(url) as connection:
        for name in OURS:
            at_work.append(name)
            began = time.monotonic()
            await connection.execute((MIGRATIONS / name).read_text())
            seconds[name] = time.monotonic() - began
    return seconds, {"reader": reader, "writer": writer}


@asynccontextmanager
async def at_the_same_time(url: str, at_work: list[str], *clients: Client) -> AsyncIterator[None]:
    """Run clients; none of their requests may fail."""
    tasks = [asyncio.create_task(client.go_on(url, at_work)) for client in clients]
    try:
        await asyncio.sleep(10 * PERIOD_SECONDS)
        yield
        await asyncio.sleep(10 * PERIOD_SECONDS)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [each for each in ended if not isinstance(each, asyncio.CancelledError)], ended


async def assert_migrated(url: str, sessions: int) -> None:
    """Assert that every session has its name, a state of this project and the values it had."""
    async with connected(url) as connection:
        await connection.execute("set statement_timeout = 0")
        found: asyncpg.Record | None = await connection.fetchrow(
            """select count(*), count(*) filter (where file_path like '%/' || original_filename),
                 count(*) filter (where processing_status in ('pending', 'completed', 'failed'))
               from public.therapy_sessions"""
        )
    assert found is not None
    assert tuple(found) == (sessions, sessions, sessions)
