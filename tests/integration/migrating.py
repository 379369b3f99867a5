"""Pushing migrations with the real CLI, and databases that are not new."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from tests.conftest import PROJECT
from tests.integration.databases import execute
from worker.local.packages import Packages
from worker.local.supabase_cli import run_cli

MIGRATIONS: Final = PROJECT / "supabase" / "migrations"
OURS: Final = sorted(file.name for file in MIGRATIONS.glob("*.sql"))

# Projects from before 2026-10-30 grant every new table and function to everybody.
OLD_DEFAULT_PRIVILEGES: Final = "".join(
    f"alter default privileges for role postgres in schema public "
    f"grant all on {kind} to anon, authenticated, service_role;"
    for kind in ("tables", "functions", "sequences")
)


def push(url: str, packages: Packages, project: Path = PROJECT) -> str:
    """Push a project's migrations; every one must be applied."""
    done = run_cli(packages, ["db", "push", f"--remote={url}", "--yes"], project)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stderr + done.stdout


def refused(url: str, packages: Packages) -> str:
    """Push this project's migrations, which must fail, and return what a person reads first."""
    done = run_cli(packages, ["db", "push", f"--remote={url}", "--yes"], PROJECT)
    assert done.returncode != 0, done.stdout
    message = re.search(r"ERROR: (.*?)\(SQLSTATE", done.stderr + done.stdout, re.DOTALL)
    assert message, done.stderr + done.stdout
    return message[1]


async def apply(url: str) -> None:
    """Apply this project's migrations as the CLI does, a transaction each, in a tenth of its time.

    For tests about what a migration does; whether the CLI does the same is tested elsewhere.
    """
    for name in OURS:
        await execute(url, (MIGRATIONS / name).read_text())


async def stopped(url: str) -> str:
    """Apply this project's migrations, one of which must stop, and return what it says."""
    with pytest.raises(asyncpg.RaiseError) as caught:
        await apply(url)
    return str(caught.value)


async def forget(url: str) -> None:
    """Remove this project's rows from the history of migrations."""
    versions = ", ".join(f"'{name[:14]}'" for name in OURS)
    await execute(
        url, f"delete from supabase_migrations.schema_migrations where version in ({versions})"
    )


def project_with(directory: Path, files: dict[str, str]) -> Path:
    """Make another project whose migrations are `files`, with this project's copied beside them."""
    target = directory / "supabase" / "migrations"
    target.mkdir(parents=True)
    (directory / "supabase" / "config.toml").write_text('project_id = "their-own"\n')
    for name in OURS:
        shutil.copy(MIGRATIONS / name, target / name)
    for name, sql in files.items():
        (target / name).write_text(sql)
    return directory
