"""What the faults share: a stack of their own, since they kill its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT, RunningStack
from tests.faults.harness import Harness
from tests.faults.recordings import Recording, upload_many
from tests.faults.results import FULL_ROWS, SHORT_ROWS, Row, table, write
from tests.faults.scenario import FULL
from tests.faults.sessions import Queue
from tests.faults.uploads import announce
from worker.local.migrated import migrate
from worker.local.packages import Packages

RECORDINGS = 2600 if FULL else 600
ROWS = pytest.StashKey[list[Row]]()
NOTES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash.setdefault(ROWS, [])
    config.stash.setdefault(NOTES, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table; the rows were written as they came."""
    if rows := config.stash.get(ROWS, []):
        terminalreporter.write_sep("=", "faults")
        terminalreporter.write_line(table(rows))
    for line in config.stash.get(NOTES, []):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def faulty_stack(
    tmp_path_factory: pytest.TempPathFactory, packages: Packages
) -> Iterator[RunningStack]:
    """A migrated stack whose parts may be killed."""
    running = RunningStack(tmp_path_factory.mktemp("faults") / "data")
    asyncio.run(migrate(running.info, PROJECT, packages))
    asyncio.run(announce(running.info, None))  # most scenarios make their sessions themselves
    yield running
    running.end()


@pytest.fixture(scope="session")
def recordings(faulty_stack: RunningStack) -> list[Recording]:
    """Recordings enough for the longest scenario, uploaded once."""
    return asyncio.run(upload_many(faulty_stack.info, RECORDINGS))


@pytest.fixture
def harness(
    faulty_stack: RunningStack,
    recordings: list[Recording],
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> Harness:
    """What runs a test's scenario, and reports it."""
    rows = pytestconfig.stash.setdefault(ROWS, [])

    def report(row: Row) -> None:
        rows.append(row)
        write(row, FULL_ROWS if FULL else SHORT_ROWS)

    return Harness(
        faulty_stack,
        lambda: Queue(faulty_stack.info.database_url, recordings),
        tmp_path,
        report,
    )


@pytest.fixture
def note(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Return what adds a line to the summary."""
    return pytestconfig.stash.setdefault(NOTES, []).append
