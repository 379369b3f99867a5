"""Who speaks to a migrated database of one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.databases import Connection, connected


@pytest_asyncio.fixture
async def owner(migrated_database: str) -> AsyncIterator[Connection]:
    """The owner of the table, who makes rules for it."""
    async with connected(migrated_database) as connection:
        yield connection


@pytest_asyncio.fixture
async def worker(migrated_database: str) -> AsyncIterator[Connection]:
    """A worker's connection."""
    async with connected(migrated_database, role="service_role") as connection:
        yield connection
