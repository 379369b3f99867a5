"""What `c3d-worker check` finds in the database, from the publication to a clock gone wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.checking import PUBLISH, broken, found_in, verdicts
from tests.integration.command_line import command
from worker.check.findings import Check, Verdict
from worker.local.stack import StackInfo

SESSIONS, BELLS = "public.therapy_sessions", "public.worker_bells"
ALL_CHANGES = "set (publish = 'insert, update, delete, truncate')"


@pytest.mark.parametrize(
    ("breaking", "mending", "cure"),
    [
        (
            f"alter publication supabase_realtime drop table {SESSIONS}",
            f"alter publication supabase_realtime add table {SESSIONS}",
            f"alter publication supabase_realtime add table {SESSIONS};",
        ),
        (
            f"alter publication supabase_realtime drop table {BELLS}",
            f"alter publication supabase_realtime add table {BELLS}",
            f"alter publication supabase_realtime add table {BELLS};",
        ),
        (
            "alter publication supabase_realtime set (publish = 'update')",
            f"alter publication supabase_realtime {ALL_CHANGES}",
            ALL_CHANGES,
        ),
        (
            "drop publication supabase_realtime",
            PUBLISH,
            f"create publication supabase_realtime for table {SESSIONS}, {BELLS};",
        ),
    ],
    ids=["without the sessions", "without the bells", "without inserts", "absent"],
)
async def test_a_publication_that_sends_no_inserts(
    own_stack: StackInfo, breaking: str, mending: str, cure: str
) -> None:
    async with broken(own_stack, breaking, mending):
        found = await found_in(own_stack)
    assert verdicts(found) == {
        Check.PUBLICATION: Verdict.BAD,
        Check.REALTIME: Verdict.UNCHECKED,
    }
    assert cure in found[Check.PUBLICATION][0].cure


async def test_a_publication_of_all_tables_will_do(own_stack: StackInfo) -> None:
    async with broken(
        own_stack,
        "drop publication supabase_realtime; create publication supabase_realtime for all tables",
        f"drop publication supabase_realtime; {PUBLISH}",
    ):
        assert verdicts(await found_in(own_stack)) == {}


async def test_realtime_that_is_not_joined_in_time(
    own_stack: StackInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.check.order.REALTIME_SECONDS", 0.0)
    found = await found_in(own_stack)
    assert verdicts(found) == {Check.REALTIME: Verdict.BAD}
    assert "not joined in time" in found[Check.REALTIME][0].said


async def test_a_missing_bucket(own_stack: StackInfo) -> None:
    found = await found_in(own_stack, c3d_bucket="no-such-bucket")
    (line,) = found[Check.BUCKET]
    assert line.said == "Storage has no bucket 'no-such-bucket'."
    assert "C3D_BUCKET" in line.cure
    (trigger,) = found[Check.TRIGGER]
    assert trigger.said == "The uploads of another bucket announce themselves: c3d-files."


async def test_a_public_bucket(own_stack: StackInfo) -> None:
    async with broken(
        own_stack,
        "update storage.buckets set public = true",
        "update storage.buckets set public = false",
    ):
        found = await found_in(own_stack)
    assert verdicts(found) == {Check.BUCKET: Verdict.BAD}
    assert "public" in found[Check.BUCKET][0].said


@pytest.mark.parametrize(
    ("breaking", "mending", "said", "cure"),
    [
        (
            "alter table public.storage_intake disable row level security",
            "alter table public.storage_intake enable row level security",
            "Row level security of storage_intake is off.",
            "alter table public.storage_intake enable row level security;",
        ),
        (
            f'create policy "see all" on {SESSIONS} for select to anon using (true)',
            f'drop policy "see all" on {SESSIONS}',
            'therapy_sessions has policies: "see all".',
            "drop policy",
        ),
        (
            "grant select, insert on public.c3d_technical_data to anon",
            "revoke all on public.c3d_technical_data from anon",
            "anon may insert, select on c3d_technical_data",
            "revoke all on public.c3d_technical_data from anon;",
        ),
        (
            f"grant select (patient_id) on {SESSIONS} to authenticated",
            f"revoke all on {SESSIONS} from authenticated",
            "authenticated may select on therapy_sessions",
            "from authenticated;",
        ),
        (
            "grant execute on function public.queue_report() to public",
            "revoke execute on function public.queue_report() from public",
            "anon or authenticated may call queue_report.",
            "revoke execute on function",
        ),
    ],
    ids=["no row security", "policy", "grant", "grant of a column", "function"],
)
async def test_what_strangers_may_do_is_a_warning(
    own_stack: StackInfo, breaking: str, mending: str, said: str, cure: str
) -> None:
    async with broken(own_stack, breaking, mending):
        found = await found_in(own_stack)
    assert verdicts(found) == {Check.ACCESS: Verdict.WARNING}
    assert said in found[Check.ACCESS][0].said
    assert cure in found[Check.ACCESS][0].cure


async def test_a_warning_is_not_a_failure(own_stack: StackInfo, tmp_path: Path) -> None:
    give = "grant select on public.session_overview to anon"
    async with broken(own_stack, give, "revoke all on public.session_overview from anon"):
        code, printed, _ = await command(own_stack, tmp_path, "check", MAX_FILE_MB="1")
    assert code == 0
    assert "\n!  access" in printed


@pytest.mark.parametrize(("minutes", "direction"), [(10, "behind"), (-10, "ahead of")])
async def test_clocks_that_disagree(own_stack: StackInfo, minutes: int, direction: str) -> None:
    hide = f"""
        alter function public.installation_report() rename to honest_report;
        create function public.installation_report() returns jsonb language sql as $$
          select public.honest_report()
            || jsonb_build_object('time', clock_timestamp() + interval '{minutes} minutes')
        $$;
        revoke execute on function public.installation_report() from public;
        grant execute on function public.installation_report() to service_role;
    """
    show = """
        drop function public.installation_report();
        alter function public.honest_report() rename to installation_report;
    """
    async with broken(own_stack, hide, show):
        found = await found_in(own_stack)
    assert verdicts(found) == {Check.CLOCK: Verdict.WARNING}
    said = re.search(r"clock is (\d+) s (.*) the database's", found[Check.CLOCK][0].said)
    assert said is not None
    assert 595 <= int(said[1]) <= 600
    assert said[2] == direction
