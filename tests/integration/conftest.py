"""What the tests of the database share: a migrated database of one's own, and connections to it."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.conftest import PROJECT, CreateDatabase, RunningStack
from tests.integration.databases import Connection, connected, execute
from tests.integration.harness import Harness, harness_of
from worker.local.migrated import migrate
from worker.local.packages import Packages
from worker.local.postgres import create_database
from worker.local.stack import StackInfo
from worker.local.supabase_cli import push


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated_template(blank_database: CreateDatabase, packages: Packages) -> str:
    """The URL of a database with this project's migrations, to be copied and never changed."""
    url = await blank_database()
    await push(url, PROJECT, packages)
    return url


@pytest.fixture(scope="session")
def names() -> Iterator[str]:
    """Names for databases, each once."""
    return (f"migrated_{number}" for number in itertools.count(1))


@pytest_asyncio.fixture
async def migrated_database(stack: StackInfo, migrated_template: str, names: Iterator[str]) -> str:
    """The URL of a migrated database of one's own, as role postgres."""
    return await create_database(
        stack.database_url, next(names), template=name_of(migrated_template)
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def queue_url(stack: StackInfo, migrated_template: str, names: Iterator[str]) -> str:
    """The URL of the migrated database that tests of the queue use one after the other."""
    return await create_database(
        stack.database_url, next(names), template=name_of(migrated_template)
    )


@pytest_asyncio.fixture
async def database(queue_url: str) -> AsyncIterator[Connection]:
    """A connection to an empty queue, as the worker's service_role."""
    await execute(queue_url, "truncate therapy_sessions cascade")
    async with connected(queue_url, role="service_role") as connection:
        yield connection


@pytest_asyncio.fixture
async def second(queue_url: str) -> AsyncIterator[Connection]:
    """A second connection to the same queue."""
    async with connected(queue_url, role="service_role") as connection:
        yield connection


@pytest.fixture(scope="session")
def _own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    running = RunningStack(tmp_path_factory.mktemp("own") / "data")
    yield running.info
    running.end()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def own_stack(_own_stack: StackInfo, packages: Packages) -> StackInfo:
    """A migrated stack that no other test looks at while it is broken and mended."""
    await migrate(_own_stack, PROJECT, packages)
    return _own_stack


def name_of(url: str) -> str:
    """Return the name of a URL's database."""
    return url.partition("?")[0].rpartition("/")[2]


@pytest.fixture
def harness(request: pytest.FixtureRequest) -> Harness:
    """A harness on the local stack, without sessions, objects and webhook.

    A test marked `contract` gets a bucket and rows of its own instead, on any Supabase.
    """
    contract = request.node.get_closest_marker("contract")
    opened: Harness = request.getfixturevalue("harness_apart" if contract else "local_harness")
    return opened


@pytest_asyncio.fixture
async def local_harness(migrated_stack: StackInfo) -> AsyncIterator[Harness]:
    """All of the local stack, emptied."""
    async with harness_of(migrated_stack) as opened:
        await opened.clear()
        yield opened


@pytest_asyncio.fixture
async def harness_apart(project: StackInfo) -> AsyncIterator[Harness]:
    """A bucket and rows of its own in the Supabase that the contract is held against."""
    async with harness_of(project) as whole:
        if not os.environ.get("CONTRACT"):
            await whole.clear()  # what other tests left
        async with whole.apart() as opened:
            yield opened


@pytest.fixture(scope="session")
def project(request: pytest.FixtureRequest) -> StackInfo:
    """The Supabase that the contract is held against: the local stack, or the one named.

    CONTRACT=1 takes the project of SUPABASE_URL, SUPABASE_SECRET_KEY and SUPABASE_DB_URL (as
    role postgres), with the migrations applied.
    """
    if not os.environ.get("CONTRACT"):
        stack: StackInfo = request.getfixturevalue("migrated_stack")
        return stack
    names = ("SUPABASE_URL", "SUPABASE_SECRET_KEY", "SUPABASE_DB_URL")
    if missing := [name for name in names if not os.environ.get(name)]:
        pytest.fail(f"Set {', '.join(missing)} to the project that is to be tested.")
    url, key, database_url = (os.environ[name] for name in names)
    return StackInfo(
        url=url.rstrip("/"),
        secret_key=key,
        publishable_key="",
        service_role_jwt="",
        anon_jwt="",
        database_url=database_url,
    )
