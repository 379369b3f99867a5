"""The poll: looks at both queues now and then, whatever Realtime says, and wakes what has to work.

Realtime promises nothing. What is due, and what uploads nobody has announced, is in the database,
and one cheap call asks for all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from worker.backend.queue_look import QueueLooks
from worker.errors import SchemaVersionError, WorkerError
from worker.intake.reconciliation import Reconciliation
from worker.observing.logs import traceback_locations

MIN_SECONDS = 5.0  # from one look to the next: much that is put off may be due one by one
FILLED_AT_ONCE = 100  # sessions a call, as `fill_patients()` does by itself

log = structlog.get_logger(__name__)


class Poll:
    """Looks now and then; whatever goes wrong in it, both queues are read."""

    def __init__(
        self,
        looks: QueueLooks,
        reconciliation: Reconciliation,
        *,
        wake_sessions: Callable[[], None],
        wake_intake: Callable[[], None],
        stop: Callable[[], None],
        seconds: float,
    ) -> None:
        """It looks every `seconds`, and when it is told that something will be due.

        `stop` ends a worker that is not made for this database.
        """
        self._looks = looks
        self._reconciliation = reconciliation
        self._wake_sessions = wake_sessions
        self._wake_intake = wake_intake
        self._stop = stop
        self._seconds = seconds
        self._soon = asyncio.Event()
        self.wrong_schema: SchemaVersionError | None = None  # why the worker was stopped

    async def run(self) -> None:
        """Look until cancelled."""
        while not self.wrong_schema:
            self._soon.clear()
            seconds = await self._attempt()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._soon.wait()

    def soon(self) -> None:
        """Look as soon as possible."""
        self._soon.set()

    async def look(self) -> float:
        """Look once, have done what there is to do, and return the seconds until the next look.

        Raises:
            SchemaVersionError: the database has another version of the functions.
            UnavailableError: Supabase is in trouble.
        """
        found = await self._looks.look()
        if found.sessions_due:
            self._wake_sessions()
        if found.uploads_due:
            self._wake_intake()
        self._reconciliation.note(found)
        if found.patients_awaited:
            await self._fill_patients()
        if found.next_due_seconds is None:
            return self._seconds
        return min(max(found.next_due_seconds, MIN_SECONDS), self._seconds)

    async def _fill_patients(self) -> None:
        """Fill patients; what is wrong with them is no trouble of the queues."""
        try:
            while await self._looks.fill_patients() >= FILLED_AT_ONCE:
                pass
        except WorkerError as error:
            log.warning("patients_not_filled", code=error.code)
        except Exception as error:  # noqa: BLE001 - see above
            log.error("patients_not_filled", error=traceback_locations(error))

    async def _attempt(self) -> float:
        try:
            return await self.look()
        except SchemaVersionError as error:
            log.error("schema_version", reason=str(error))
            self.wrong_schema = error
            self._stop()
        except WorkerError as error:
            log.warning("poll_failed", code=error.code)
            self._read_both()
        except Exception as error:  # noqa: BLE001 - none may end the worker
            log.error("poll_crashed", error=traceback_locations(error))
            self._read_both()
        return self._seconds

    def _read_both(self) -> None:
        self._wake_sessions()
        self._wake_intake()
