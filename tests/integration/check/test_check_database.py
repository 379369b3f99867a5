"""What `c3d-worker check` finds in the database, from a missing migration to a clock gone wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.conftest import RunningStack
from tests.integration.checking import PUBLISH, broken, found_in, verdicts
from tests.integration.command_line import command
from tests.integration.migrating import MIGRATIONS as FOLDER
from tests.integration.migrating import OURS
from worker.check.findings import Check, Verdict
from worker.check.schema import MIGRATIONS, schema
from worker.local.stack import StackInfo

SESSIONS, BELLS = "public.therapy_sessions", "public.worker_bells"
ALL_CHANGES = "set (publish = 'insert, update, delete, truncate')"


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    """A stack without any migration."""
    running = RunningStack(tmp_path_factory.mktemp("blank") / "data")
    yield running.info
    running.end()


def test_every_table_and_function_of_the_migrations_is_looked_for() -> None:
    made = {
        name: set(
            re.findall(
                r"^create (?:or replace function|table if not exists|or replace view) "
                r"public\.(\w+)|^ +create table public\.(\w+)",
                (FOLDER / name).read_text(),
                re.MULTILINE,
            )
        )
        for name in OURS
    }
    made = {name: {one or other for one, other in pairs} for name, pairs in made.items()}
    looked_for: set[str] = set()
    for migration in MIGRATIONS:
        names = {*migration.relations, *migration.functions, *migration.hidden}
        assert names == made[migration.name], migration.name
        looked_for |= names
    assert set().union(*made.values()) == looked_for
    assert len({migration.name for migration in MIGRATIONS}) == len(MIGRATIONS)


async def test_without_any_migration_everything_missing_is_named(
    blank: StackInfo, tmp_path: Path
) -> None:
    found = await found_in(blank)
    said = " ".join(line.said for line in found[Check.SCHEMA])
    for migration in MIGRATIONS:
        for name in (*migration.relations, *migration.functions):
            assert name in said
    assert {line.verdict for line in found[Check.SCHEMA]} == {Verdict.BAD}
    for line in found[Check.SCHEMA]:
        assert "supabase db push" in line.cure
        assert "c3d-worker migrations` writes them" in line.cure
    (bucket,) = found[Check.BUCKET]
    assert (bucket.verdict, "supabase db push" in bucket.cure) == (Verdict.BAD, True)
    for name in (Check.CLOCK, Check.PUBLICATION, Check.REALTIME, Check.ACCESS, Check.WEBHOOK):
        assert found[name][0].verdict is Verdict.UNCHECKED
    code, printed, complained = await command(blank, tmp_path, "check")
    assert (code, complained) == (1, "")
    assert "20261124000100_therapy_sessions.sql is not applied: therapy_sessions" in printed


def test_where_the_api_says_nothing_the_missing_report_is_named() -> None:
    (line,) = schema(None, None)
    expected = (
        "20261124001600_installation_report.sql is not applied: installation_report is missing."
    )
    assert line.said == expected


async def test_one_missing_function_names_its_migration(own_stack: StackInfo) -> None:
    hide = "alter function public.find_session(text, text, text) rename to hidden"
    show = "alter function public.hidden(text, text) rename to find_session"
    async with broken(own_stack, hide, show):
        (line,) = (await found_in(own_stack))[Check.SCHEMA]
    assert (
        line.said == "20261124001200_existing_sessions.sql is not applied: find_session is missing."
    )


async def test_a_function_that_only_uploads_call_is_looked_for_too(own_stack: StackInfo) -> None:
    hide = "alter function public.announce_upload() rename to hidden"
    show = "alter function public.hidden() rename to announce_upload"
    async with broken(own_stack, hide, show):
        (line,) = (await found_in(own_stack))[Check.SCHEMA]
    assert line.said.startswith("20261124001300_upload_trigger.sql is not applied: announce_upload")


async def test_an_old_column_means_that_the_split_did_not_run(own_stack: StackInfo) -> None:
    async with broken(
        own_stack,
        f"alter table {SESSIONS} add column frame_count integer",
        f"alter table {SESSIONS} drop column frame_count",
    ):
        (line,) = (await found_in(own_stack))[Check.SCHEMA]
    assert line.said == (
        "20261124000300_split_technical_columns.sql is not applied: "
        "therapy_sessions still has frame_count."
    )


async def test_a_missing_column_of_the_queue_is_named(own_stack: StackInfo) -> None:
    async with broken(
        own_stack,
        f"alter table {SESSIONS} rename column processing_claim to hidden",
        f"alter table {SESSIONS} rename column hidden to processing_claim",
    ):
        (line,) = (await found_in(own_stack))[Check.SCHEMA]
    assert "20261124000400_queue.sql" in line.said
    assert "therapy_sessions.processing_claim is missing" in line.said


def withheld(stack: StackInfo, function: str) -> AbstractAsyncContextManager[None]:
    """Let the worker's role not call a function."""
    which = f"execute on function public.{function}()"
    return broken(stack, f"revoke {which} from service_role", f"grant {which} to service_role")


async def test_what_the_api_does_not_serve_is_named(own_stack: StackInfo) -> None:
    async with withheld(own_stack, "queue_report"):
        (line,) = (await found_in(own_stack))[Check.SCHEMA]
    assert line.said == "The API does not serve queue_report of 20261124001500_queue_report.sql."
    assert "notify pgrst, 'reload schema'" in line.cure


async def test_a_report_that_is_refused_says_so(own_stack: StackInfo) -> None:
    async with withheld(own_stack, "webhook_report"):
        found = await found_in(own_stack)
    assert "permission denied" in found[Check.SCHEMA][0].said
    assert found[Check.ACCESS][0].verdict is Verdict.UNCHECKED
    assert found[Check.REALTIME][0].verdict is Verdict.GOOD


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
