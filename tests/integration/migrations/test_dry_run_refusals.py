"""A dry run keeps nobody waiting, says why it cannot be made, and never shows the password."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from yarl import URL

from tests.conftest import PROJECT, CreateDatabase
from tests.integration.databases import execute, rows
from tests.integration.dry_runs import IN_USE, dry_run, everything, flat, locked
from tests.integration.legacy_shapes import ARRAY_NAMES
from worker.commands.migrations import migration_files
from worker.dry_run.attempt import attempt
from worker.dry_run.errors import DatabaseUnreachableError, DryRunGaveUpError
from worker.dry_run.migrations import Migration, script
from worker.local.stack import StackInfo

PASSWORD = "planted-by-a-test"
SLOW = Migration(
    "20991231000000_slow.sql", "lock table public.therapy_sessions; select pg_sleep(60);"
)
OPEN = (
    "select count(*) as still from pg_stat_activity where application_name like 'c3d-worker dry%'"
)


@pytest.mark.parametrize("mode", ["access share", "access exclusive"])
async def test_it_gives_up_while_somebody_else_holds_the_table(
    stack: StackInfo, blank_database: CreateDatabase, tmp_path: Path, mode: str
) -> None:
    url = await blank_database()
    await execute(url, ARRAY_NAMES)
    before = await everything(url)
    async with locked(url, mode):
        code, printed, complained = await dry_run(stack, url, tmp_path)
    assert (code, printed) == (2, "")
    assert complained.startswith("dry_run_gave_up: Another connection has locked")
    assert mode == "access share" or "therapy_sessions" in complained
    assert "--without-locks" in complained
    assert "restored copy" in complained
    assert await everything(url) == before


async def test_without_locks_it_waits_for_no_reader_and_no_writer(
    stack: StackInfo, blank_database: CreateDatabase, tmp_path: Path
) -> None:
    url = await blank_database()
    await execute(url, IN_USE)
    async with locked(url, "share row exclusive"):
        code, printed, _ = await dry_run(stack, url, tmp_path, "--without-locks")
    assert code in {0, 1}
    assert "session_code is text, NOT NULL" in flat(printed)
    assert "performance_scores_session_id_fkey" in printed


async def test_whoever_waits_for_its_locks_waits_for_seconds_only(
    blank_database: CreateDatabase,
) -> None:
    url = await blank_database()
    await execute(url, ARRAY_NAMES)
    trial = asyncio.create_task(attempt(SecretStr(url), [SLOW]))
    held = "select count(*) from pg_locks where granted and mode = 'AccessExclusiveLock'"
    while not (await rows(url, f"select exists ({held} having count(*) > 0) as held"))[0]["held"]:
        await asyncio.sleep(0.02)
    async with asyncio.timeout(15):  # the lock would be held for a minute
        await execute(url, "update public.therapy_sessions set cache_hits = 7")
    with pytest.raises(DryRunGaveUpError, match="longer than 5 seconds of held locks"):
        await trial
    assert await rows(url, OPEN) == [{"still": 0}]


def test_no_migration_raises_the_limit_of_the_dry_run() -> None:
    migrations = [Migration(file.name, file.read_text()) for file in migration_files()]
    assert any("statement_timeout" in migration.sql for migration in migrations)
    assert "statement_timeout" not in script(migrations)


async def test_a_dry_run_that_is_killed_leaves_no_lock(
    blank_database: CreateDatabase, tmp_path: Path
) -> None:
    url = await blank_database()
    await execute(url, ARRAY_NAMES)
    script = (
        "import asyncio; from pydantic import SecretStr;"
        "from worker.dry_run.migrations import Migration;"
        "from worker.dry_run.attempt import attempt;"
        f"asyncio.run(attempt(SecretStr({url!r}), [Migration({SLOW.name!r}, {SLOW.sql!r})]))"
    )
    dying = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(PROJECT)}
    )
    while not (
        await rows(
            url,
            "select query from pg_stat_activity where query like '%pg_sleep(60)%'"
            " and application_name like 'c3d-worker dry%' and state = 'active'",
        )
    ):
        await asyncio.sleep(0.02)
    dying.kill()
    await dying.wait()
    async with asyncio.timeout(10):
        await execute(url, "update public.therapy_sessions set cache_hits = 7")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"port": 1}, "does not answer"),
        ({"path": "/nowhere"}, "does not exist"),
        ({"user": "nobody"}, "refuses the user or the password"),
        ({"query": {"sslmode": "require"}}, "?sslmode=disable"),
        ({"query": {"sslmode": "disable", "pgbouncer": "true"}}, "(SQLSTATE 42704)"),
    ],
)
async def test_a_wrong_url_is_one_sentence_without_the_password(
    stack: StackInfo, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    url = URL(stack.database_url).with_password(PASSWORD)
    for part, value in change.items():
        url = getattr(url, f"with_{part}")(
            value, **({"keep_query": True} if part == "path" else {})
        )
    code, printed, complained = await dry_run(stack, str(url), tmp_path)
    assert (code, printed) == (2, "")
    assert complained.startswith("database_unreachable: ")
    assert said in flat(complained)
    assert PASSWORD not in complained


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "SUPABASE_DB_URL is not set"),
        ("https://example.supabase.co", "must look like postgresql://"),
        (f"postgresql://postgres:{PASSWORD}@:x/", "must look like postgresql://"),
        ("postgresql://postgres:[YOUR-PASSWORD]@db.example.org/postgres", "[YOUR-PASSWORD]"),
    ],
)
async def test_a_missing_or_malformed_url_is_named_as_a_setting(
    stack: StackInfo, tmp_path: Path, url: str, said: str
) -> None:
    code, printed, complained = await dry_run(stack, url, tmp_path)
    assert (code, printed) == (2, "")
    assert complained.startswith("setting: SUPABASE_DB_URL ")
    assert said in flat(complained)
    assert PASSWORD not in complained


async def test_the_url_is_read_from_a_dot_env_file_and_never_printed(
    stack: StackInfo, blank_database: CreateDatabase, tmp_path: Path
) -> None:
    url = URL(await blank_database()).with_password(PASSWORD)
    await execute(str(url), IN_USE)
    (tmp_path / ".env").write_text(f"SUPABASE_DB_URL={url}\n")
    code, printed, complained = await dry_run(stack, "", tmp_path)
    assert code in {0, 1}
    assert "therapists_see" in printed
    assert PASSWORD not in printed + complained


async def test_a_role_that_may_not_look_is_told(
    blank_database: CreateDatabase,
) -> None:
    url = await blank_database()
    await execute(url, ARRAY_NAMES + "revoke all on therapy_sessions from postgres, anon;")
    stranger = str(URL(url).with_user("authenticator"))
    with pytest.raises(DatabaseUnreachableError, match=r"may not look .*\(SQLSTATE 42501\)"):
        await attempt(SecretStr(stranger), [SLOW])


def test_without_asyncpg_it_says_what_to_install(tmp_path: Path) -> None:
    hiding = (
        "import sys; sys.modules['asyncpg'] = None; from worker.commands.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", hiding, "migrations", "--dry-run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "SUPABASE_DB_URL": "postgresql://localhost"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("package_missing: A dry run needs asyncpg.")
    assert "pip install 'WHEEL[dry-run]'" in done.stderr


def test_the_first_migration_begins_with_checks_that_only_read() -> None:
    first = migration_files()[0]
    checks = Migration(first.name, first.read_text()).checks
    assert "select pg_temp.check_therapy_sessions();" in checks
    assert not re.search(r"^(alter|update|lock|drop|insert|delete)\b", checks, re.MULTILINE)


async def test_without_locks_a_later_migration_is_not_begun(migrated_database: str) -> None:
    files = migration_files()
    versions = ", ".join(f"'{file.name[:14]}'" for file in files[1:])
    history = "supabase_migrations.schema_migrations"
    await execute(migrated_database, f"delete from {history} where version in ({versions})")
    migrations = [Migration(file.name, file.read_text()) for file in files]
    async with locked(migrated_database, "access share"):
        found = await attempt(SecretStr(migrated_database), migrations, only_read=True)
    assert (found.applied, found.stop, found.tried) == (1, None, False)
