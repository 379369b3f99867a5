"""Tells an outage from items that are the trouble themselves, by asking without any item."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from worker.backend.installation import Installation
from worker.backend.object_store import ObjectStore
from worker.backend.queue_report import QueueReports
from worker.errors import (
    DiskFullError,
    ReaderLostError,
    SchemaRefusesError,
    UnavailableError,
    WorkerError,
)

ANSWER_SECONDS = 3.0  # for all questions together; what is slower is in trouble


@dataclass(frozen=True, slots=True)
class OutageCheck:
    """Asks Storage and the database for what needs no object and no session."""

    store: ObjectStore
    reports: QueueReports
    installation: Installation

    async def is_everybodys(self, error: UnavailableError) -> bool:
        """Whether what an item met would be met by every item, as far as can be asked."""
        if isinstance(error, DiskFullError | ReaderLostError):
            return True  # of this machine
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.store.check()
                await self.reports.present()
                if isinstance(error, SchemaRefusesError):
                    return await self.installation.trial() is not None
        except (TimeoutError, WorkerError):
            return True
        return False
