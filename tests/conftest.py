"""What tests share: one running local stack, databases by the dozen, and real recordings."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil
import pytest
import pytest_asyncio

from worker.local.migrated import migrate
from worker.local.packages import Packages, ensure_installed
from worker.local.postgres import DATABASE_ERRORS, SUPERUSER, as_role, cluster, create_database
from worker.local.stack import StackInfo

PROJECT = Path(__file__).resolve().parent.parent
POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")  # Debian's
HAS_POSTGRES_15 = POSTGRES_15.is_dir()
TEMPLATE = "template_blank"

CreateDatabase = Callable[[], Awaitable[str]]

# A shell that runs the tests in the background ignores Ctrl-C on behalf of all they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def packages() -> Packages:
    """The installed programs of the local stack."""
    return ensure_installed(print)


class RunningStack:
    """A local stack in a process of its own, as `make demo` has it."""

    def __init__(self, data: Path, *, search_path: str = os.environ["PATH"]) -> None:
        """Start it and wait until it answers; `search_path` is where it finds programs."""
        self.data = data
        env_file = data.with_suffix(".env")
        env_file.unlink(missing_ok=True)
        # It ends with the test run, even with one that is killed.
        command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "worker.local"]
        self.process = psutil.Popen(
            [*command, str(data), str(env_file)],
            cwd=PROJECT,
            env={**os.environ, "PATH": search_path},
            stderr=subprocess.PIPE,
            text=True,
        )
        while not env_file.exists():
            if self.process.poll() is not None:
                raise AssertionError(self.process.communicate()[1])
            time.sleep(0.02)
        self.info = StackInfo.read(env_file)

    def family(self) -> list[psutil.Process]:
        """Return the stack's process and all below it."""
        return [psutil.Process(self.process.pid), *self.process.children(recursive=True)]

    def postmaster(self) -> psutil.Process:
        """Return PostgreSQL's first process."""
        (found,) = (child for child in self.process.children() if child.name() == "postgres")
        return found

    async def restart_postgres(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop PostgreSQL at once, or kill it, and wait until the stack's next one answers."""
        postmaster = self.postmaster()
        stopped = [postmaster]
        if how is signal.SIGKILL:
            stopped = [*postmaster.children(recursive=True), postmaster]
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(how)
        async with asyncio.timeout(10):
            while postmaster.is_running() or not await _answers(self.info.database_url):
                await asyncio.sleep(0.02)

    def end(self, with_signal: signal.Signals = signal.SIGTERM) -> str:
        """End the stack, and return what it wrote; every process must be gone soon after."""
        family = self.family()
        self.process.send_signal(with_signal)
        _, written = self.process.communicate(timeout=10)
        _, left = psutil.wait_procs(family, timeout=5)
        # A container's first process may not fetch the dead; they are dead all the same.
        assert not [one for one in left if one.status() != psutil.STATUS_ZOMBIE]
        return str(written)


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The stack that most tests share, with its processes."""
    running = RunningStack(tmp_path_factory.mktemp("stack") / "data")
    yield running
    written = running.end()
    assert running.process.returncode == 0, written
    assert "Traceback" not in written, written


@pytest.fixture(scope="session")
def stack(running_stack: RunningStack) -> StackInfo:
    """The address and keys of the stack that most tests share, as the platform delivers it."""
    return running_stack.info


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated_stack(stack: StackInfo, packages: Packages) -> StackInfo:
    """The same stack, after `supabase db push` of this project's migrations."""
    await migrate(stack, PROJECT, packages)
    return stack


@pytest.fixture(scope="session")
def blank_database(stack: StackInfo) -> CreateDatabase:
    """Return what creates a database without migrations in the stack's cluster (50 ms each)."""
    return _creator(stack.database_url)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def blank_database_15(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[CreateDatabase]:
    """Return what creates a database without migrations in a PostgreSQL 15."""
    if not HAS_POSTGRES_15:
        pytest.skip(f"{POSTGRES_15} is not there")
    data = tmp_path_factory.mktemp("postgres-15")
    async with cluster(POSTGRES_15, data, 0) as url:
        yield _creator(url)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The directory of real recordings, beside this repository."""
    directory = PROJECT.parent / "shared" / "c3d-corpus"
    if not directory.is_dir():
        pytest.skip("the corpus ../shared/c3d-corpus is not there")
    return directory


def _creator(url: str) -> CreateDatabase:
    numbers = itertools.count(1)
    templates: list[str] = []

    async def create() -> str:
        if not templates:
            await create_database(url, TEMPLATE)
            templates.append(TEMPLATE)
        return await create_database(url, f"blank_{next(numbers)}", template=TEMPLATE)

    return create


async def _answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(as_role(url, SUPERUSER))
    except DATABASE_ERRORS:
        return False
    await connection.close()
    return True
