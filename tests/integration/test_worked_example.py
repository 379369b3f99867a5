"""The worked example of docs/migrating.md, run from top to bottom as the page has it."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from docs.run_snippets import DOCS
from tests.integration.application.adopting import Adopted, adopting
from tests.integration.application.shapes import BUCKET, NEWEST
from tests.integration.databases import execute, rows
from tests.integration.dry_runs import dry_run
from tests.integration.migrating import OURS
from worker.local.packages import Packages
from worker.local.supabase_cli import run_cli

OMITTED = "…"  # stands in the page for lines that are left out
CODE = re.compile(r"```(sql|console)\n(.*?)```|`(drop schema [^`]+;)`", re.DOTALL)


def example() -> str:
    page = (DOCS / "migrating.md").read_text(encoding="utf-8")
    return page.partition("\n## Worked example")[2].partition("\n### Earlier schemas")[0]


def steps() -> Iterator[tuple[str, str]]:
    """Yield each statement as `sql`, and each command line with what it prints."""
    for kind, block, in_line in CODE.findall(example()):
        if kind == "console":
            for line in block.removeprefix("$ ").split("\n$ "):
                said, _, printed = line.partition("\n")
                yield said, printed
        else:
            yield "sql", block or in_line


@pytest_asyncio.fixture
async def adopted(tmp_path: Path) -> AsyncIterator[Adopted]:
    """The application's project of today, with its objects."""
    async with adopting(NEWEST, tmp_path) as found:
        await found.upload(NEWEST.uploads)
        yield found


@pytest.mark.timeout(300)
async def test_the_worked_example_runs_as_it_stands_in_the_page(
    adopted: Adopted, packages: Packages
) -> None:
    url, done = adopted.stack.database_url, []
    assert f"`C3D_BUCKET={BUCKET}`" in example()
    (adopted.folder / "supabase").mkdir()
    (adopted.folder / "supabase" / "config.toml").write_text('project_id = "the-application"\n')
    async with AsyncExitStack() as until_the_end:
        for step, printed in steps():
            done.append(step)
            if step == "sql":
                await execute(url, printed)
                continue
            program, *arguments = shlex.split(step)
            if program == "supabase":
                arguments = [each.replace("--remote", f"--remote={url}") for each in arguments]
                pushed = run_cli(packages, [*arguments, "--yes"], adopted.folder)
                assert pushed.returncode == 0, pushed.stderr
            elif arguments == ["run"]:
                await until_the_end.enter_async_context(adopted.worker())
                await adopted.until_all_is_read()
            elif "--dry-run" in arguments and "migrations" in arguments:
                await says(adopted, printed)
            else:
                await adopted.command(*arguments)
        await adopted.until_all_is_read()
    assert done.count("sql") == 6
    migrations = sorted(file.name for file in (adopted.folder / "supabase/migrations").iterdir())
    assert migrations == OURS
    for upload in NEWEST.uploads:
        await adopted.assert_read(upload)
    counted = await adopted.command("requeue", "--migrated", "--dry-run")
    assert counted == "0 migrated sessions would be requeued.\n"
    assert await rows(url, "select to_regnamespace('backup') as kept") == [{"kept": None}]


async def says(adopted: Adopted, printed: str) -> None:
    """Run the dry run; each line of the page stands in what it prints, in this order."""
    code, real, _ = await dry_run(adopted.stack, adopted.stack.database_url, adopted.folder)
    assert code == 0
    lines = iter(real.splitlines())
    for line in printed.splitlines():
        assert line == OMITTED or line in lines, real
