"""All faults of a bad day in one run: nothing is lost, nothing done twice, nobody waits long."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import UUID

import asyncpg
import pytest

from tests.faults.harness import Harness
from tests.faults.load import slow_download
from tests.faults.recordings import content
from tests.faults.rules import say
from tests.faults.scenario import Plan, Scenario, full_only
from tests.faults.uploads import OBJECTS, OWN_TROUBLE, SETTINGS, Bucket, bucket_of

FILES = int(os.environ.get("FAULT_FILES", "1000"))
SPREAD = 90.0  # seconds over which the files are uploaded
WORKERS, LEASE, POLL = 5, 10, 2
KILLS, BETWEEN_KILLS = 20, (2.0, 5.0)  # and seconds
LOCKERS, LOCK = 4, 30.0  # connections, and seconds for which each locks one session after another
OUTAGE_AFTER, OUTAGE = 25.0, 20.0  # seconds
PATIENT_AFTER = 60.0  # seconds after which the unknown patient is entered
STARTUP = 10.0  # seconds that a killed worker may take to be back on a busy machine
REFUSED, UNKNOWN = "P7", "P9"
RULES = f"""
create table public.patients (code text primary key);
insert into public.patients values ('P5'), ('{REFUSED}');
grant select on public.patients to service_role;
alter table public.therapy_sessions add constraint patient_is_known
  foreign key (patient_id) references public.patients (code);
create function public.patient_is_closed() returns trigger language plpgsql as $$
begin
  raise exception 'The patient is closed';
end $$;
create trigger patient_is_closed before update on public.therapy_sessions
for each row when (old.patient_id = '{REFUSED}') execute function public.patient_is_closed();
"""
REOPENED = """
drop function if exists public.patient_is_closed() cascade;
update public.set_aside set until = clock_timestamp();
"""
NO_RULES = f"""
{REOPENED}
alter table public.therapy_sessions drop constraint if exists patient_is_known;
drop table if exists public.patients;
"""
PICK = """
select id from public.therapy_sessions
where processing_status = 'processing' and patient_id is distinct from $1
order by random() limit 1 for update skip locked
"""
LEFT = f"""
select count(*) from public.therapy_sessions
where processing_status in ('pending', 'processing') and patient_id is distinct from '{REFUSED}'
"""
NOTED = "select count(*) from public.storage_intake where outcome in ('waiting', 'taking')"

pytestmark = pytest.mark.timeout(900)


@dataclass(slots=True)
class Day:
    """What was done to the fleet, and when (seconds since 1970)."""

    dice: random.Random = field(default_factory=lambda: random.Random(11))
    outage: tuple[float, float] = (0.0, 0.0)
    unlocked_at: dict[UUID, float] = field(default_factory=dict)

    async def kill(self, scenario: Scenario) -> None:
        for _ in range(KILLS):
            await asyncio.sleep(self.dice.uniform(*BETWEEN_KILLS))
            self.dice.choice(scenario.fleet.members).kill()

    async def lock(self, scenario: Scenario) -> None:
        """Lock one session that is being processed after another, as open transactions do."""
        second = await asyncpg.connect(scenario.queue.url)
        try:
            until = time.time() + SPREAD
            while time.time() < until:
                async with second.transaction():
                    if session := await second.fetchval(PICK, REFUSED):
                        await asyncio.sleep(LOCK)
                if session:
                    self.unlocked_at[session] = time.time()
                await asyncio.sleep(0.1)
        finally:
            await second.close()

    async def trouble_storage(self, scenario: Scenario) -> None:
        await asyncio.sleep(OUTAGE_AFTER)
        begin = time.time()
        for body in OWN_TROUBLE.values():
            with scenario.proxy.trouble(OBJECTS, say(400, body)) as rule:
                await asyncio.sleep(OUTAGE / len(OWN_TROUBLE))
            assert rule.hits
        self.outage = (begin, time.time())

    async def enter_patient(self, scenario: Scenario) -> None:
        await asyncio.sleep(PATIENT_AFTER)
        await scenario.queue.execute(f"insert into public.patients values ('{UNKNOWN}')")

    def is_ordinary(self, at: float) -> bool:
        """Whether a moment is not one of the outage, nor one in which workers come back of it."""
        begin, end = self.outage
        return not begin - LEASE <= at <= end + LEASE


def file(number: int) -> tuple[str, bytes, str]:
    """Return path, content and how it has to end: `completed`, `duplicate` or an error code."""
    match number % 20:
        case 0:
            return f"P5/{number}.c3d", f"No recording, number {number}.".encode(), "c3d_not_c3d"
        case 1:
            whole = content(number)
            return f"P5/{number}.c3d", whole[:-2_000] + whole[-4:], "c3d_truncated"
        case 2:
            return f"P5/{number}.c3d", content(number + 1), "duplicate"
        case 4:
            return f"{REFUSED}/{number}.c3d", content(number), "completed"
        case 5:
            return f"{UNKNOWN}/{number}.c3d", content(number), "completed"
    return f"P5/{number}.c3d", content(number), "completed"


@asynccontextmanager
async def owners_rules(scenario: Scenario) -> AsyncIterator[None]:
    await scenario.queue.execute(RULES)
    try:
        yield
    finally:
        await scenario.queue.execute(NO_RULES)


@full_only
async def test_a_bad_day_loses_nothing_repeats_nothing_and_lets_nobody_wait_for_another(
    harness: Harness, note: Callable[[str], None]
) -> None:
    plan = Plan(WORKERS, lease=LEASE, poll=POLL, settings={**SETTINGS, "MAX_ATTEMPTS": str(KILLS)})
    day, files = Day(), [file(number) for number in range(FILES)]
    async with AsyncExitStack() as context:
        bucket = await context.enter_async_context(bucket_of(harness.running.info))
        scenario = await context.enter_async_context(harness.scenario(plan))
        await context.enter_async_context(owners_rules(scenario))
        context.enter_context(scenario.proxy.trouble(OBJECTS, slow_download))
        await asyncio.gather(
            feed(bucket, files),
            day.kill(scenario),
            *(day.lock(scenario) for _ in range(LOCKERS)),
            day.trouble_storage(scenario),
            day.enter_patient(scenario),
        )
        await until_none(scenario, NOTED)
        await until_none(scenario, LEFT)
        refused = await set_aside(scenario)
        await scenario.queue.execute(REOPENED)
        await scenario.queue.until_done(seconds=120)

        ends = await bucket.ends(scenario.queue)
        sessions = {row["file_path"]: row for row in await scenario.queue.rows(SESSIONS)}
        scenario.queue.made = [row["id"] for row in sessions.values()]
        scenario.bad.update(
            {sessions[path]["id"]: end for path, _, end in files if end.startswith("c3d_")}
        )
        outcome = await harness.outcome("all at once", scenario, plan, None, None)
    assert len(refused) == len([path for path, _, _ in files if path.startswith(REFUSED)])
    assert all("The patient is closed (P0001)" in reason for reason in refused)
    # Of two uploads with the same bytes either may be the first.
    twins = [(number, number + 1) for number in range(2, FILES - 1, 20)]
    for pair in twins:
        assert sorted(ends[files[each][0]] for each in pair) == ["duplicate", "session"]
    assert [ends[path] for path, _, _ in files].count("duplicate") == len(twins)
    assert {*ends.values()} == {"session", "duplicate"}
    assert len(sessions) == FILES - len(twins)
    for path, row in sessions.items():
        assert row["patient_id"] == path.partition("/")[0]
    outcome.check()
    report(day, bucket, sessions, note)


SESSIONS = """
select s.id, s.file_path, s.patient_id, extract(epoch from w.at)::float8 as written_at
from public.therapy_sessions as s left join public.writes as w on w.session_id = s.id
"""


async def feed(bucket: Bucket, files: list[tuple[str, bytes, str]]) -> None:
    begin = time.time()
    for number, (path, data, _) in enumerate(files):
        await asyncio.sleep(max(0.0, begin + SPREAD * number / len(files) - time.time()))
        await bucket.upload(path, data)


async def until_none(scenario: Scenario, query: str) -> None:
    async with asyncio.timeout(300):
        while await scenario.queue.count(query):
            await asyncio.sleep(0.2)


async def set_aside(scenario: Scenario) -> list[str]:
    """Return why each session that is left waits."""
    found = await scenario.queue.rows(
        "select what_to_do from public.session_overview where state like 'set aside: %'"
    )
    return [row["what_to_do"] for row in found]


def report(
    day: Day,
    bucket: Bucket,
    sessions: dict[str, asyncpg.Record],
    note: Callable[[str], None],
) -> None:
    """Compare how long sessions waited with a lease, and write it down."""
    written = {path: row["written_at"] for path, row in sessions.items() if row["written_at"]}
    locked = {path for path in written if sessions[path]["id"] in day.unlocked_at}
    waited = sorted(
        at - bucket.uploaded_at[path]
        for path, at in written.items()
        if day.is_ordinary(bucket.uploaded_at[path])
        and path not in locked
        and path.startswith("P5/")
    )
    last = max(bucket.uploaded_at.values())
    flow = sorted(at for at in written.values() if at <= last)
    silences = [b - a for a, b in pairwise(flow) if day.is_ordinary(a) and day.is_ordinary(b)]
    after_locks = [written[path] - day.unlocked_at[sessions[path]["id"]] for path in locked]
    median, slow = waited[len(waited) // 2], waited[len(waited) * 99 // 100]
    note(
        f"all at once: {len(sessions)} sessions; from upload to row {median:.1f} s (median), "
        f"{slow:.1f} s (99 %), {waited[-1]:.1f} s (longest); "
        f"longest silence {max(silences):.1f} s; "
        f"{len(locked)} locked, done {max(after_locks):.1f} s after it at the latest"
    )
    assert max(silences) <= LEASE
    assert max(after_locks) <= LEASE + POLL + STARTUP
    assert slow <= LEASE + POLL + STARTUP
