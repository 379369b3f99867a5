"""A fleet of workers, and the parts around it on which a fault can act."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

import psutil
import pytest

from tests.conftest import RunningStack
from tests.faults.fleet import Fleet
from tests.faults.proxy import Proxy
from tests.faults.recordings import Recording, upload
from tests.faults.sessions import Queue

FULL = os.environ.get("FAULTS") == "full"
full_only = pytest.mark.skipif(not FULL, reason="only FAULTS=full runs this one")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a fleet is set up for a fault, and how long it may take to recover."""

    workers: int = 2
    lease: int = 5  # seconds
    poll: float = 2  # seconds
    allowed: float | None = None  # seconds to recover; lease + poll unless given
    settings: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        own = {"LEASE_SECONDS": str(self.lease), "POLL_SECONDS": str(self.poll)}
        return own | dict(self.settings)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A running fleet, its proxy, its stack and its sessions."""

    running: RunningStack
    proxy: Proxy
    fleet: Fleet
    queue: Queue
    bad: dict[UUID, str] = field(default_factory=dict)  # sessions that must fail, and their code

    async def active(self) -> list[UUID]:
        """The sessions that some worker has claimed."""
        query = "select id from public.therapy_sessions where processing_status = 'processing'"
        return [row["id"] for row in await self.queue.rows(query)]

    async def upload(self, path: str, data: bytes) -> Recording:
        """Put an object into the bucket, past the proxy."""
        return await upload(self.running.info, path, data)

    async def add_bad(self, count: int) -> dict[UUID, str]:
        """Create sessions of files that are not recordings, with the code each must fail with."""
        files = []
        for number in range(count):
            data = f"This is no recording, number {number}.".encode()
            files.append(await self.upload(f"P005/bad-{number}.c3d", data))
        return dict.fromkeys(await self.queue.insert(files), "c3d_not_c3d")

    def children(self, number: int = 0) -> list[psutil.Process]:
        """The processes in which a worker reads recordings."""
        below = self.fleet.members[number].living().children(recursive=True)
        return [one for one in below if "resource_tracker" not in " ".join(one.cmdline())]


# Begins, lasts and ends. The sessions it returns, if any, are those that have to recover.
Fault: TypeAlias = "Callable[[Scenario], Awaitable[Sequence[UUID] | None]]"
