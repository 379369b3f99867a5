"""The sweep of the bucket: puts every object that nobody has announced into the queue of uploads.

A pass reads the bucket once, page by page, in the order of the names. At its end it gives sessions
the patients that were entered meanwhile, if any wait for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from worker.backend.upload_queue import UploadQueue
from worker.backoff import backoff
from worker.errors import UnavailableError, WorkerError
from worker.observing.logs import traceback_locations

INITIAL_PAUSE, MAX_PAUSE = 1.0, 60.0  # seconds while Supabase is in trouble

log = structlog.get_logger(__name__)


class BucketSweep:
    """Passes over the bucket, every `every_seconds` (0: never)."""

    def __init__(
        self, queue: UploadQueue, wake_intake: Callable[[], None], *, every_seconds: float
    ) -> None:
        """`wake_intake` is called when uploads are due, or may be."""
        self._queue = queue
        self._wake_intake = wake_intake
        self._every_seconds = every_seconds
        self.trouble: WorkerError | None = None  # what the last pass met

    async def run(self) -> None:
        """Sweep until cancelled."""
        failures = 0
        while self._every_seconds:
            self.trouble = await self._attempt()
            if self.trouble:
                failures += 1
                pause = backoff(failures, initial=INITIAL_PAUSE, maximum=MAX_PAUSE)
                log.warning("bucket_sweep_failed", code=self.trouble.code, retry_in=round(pause, 1))
                self._wake_intake()  # what is due already does not wait for the sweep
            else:
                failures, pause = 0, self._every_seconds
            await asyncio.sleep(pause)

    async def sweep(self) -> int:
        """Read the whole bucket, and return how many objects were announced.

        Raises:
            UnavailableError: Supabase is in trouble; the next pass begins anew.
        """
        announced, after = 0, ""
        while True:
            page = await self._queue.announce_page(after)
            announced += page.announced
            if page.announced or page.due:
                self._wake_intake()
            if page.last_name is None:
                if page.patients_awaited:
                    await self._fill_patients()
                return announced
            after = page.last_name

    async def _fill_patients(self) -> None:
        """Fill patients; what is wrong with them ends no sweep."""
        try:
            await self._queue.fill_patients()
        except WorkerError as error:
            log.warning("patients_not_filled", code=error.code)
        except Exception as error:  # noqa: BLE001 - see above
            log.error("patients_not_filled", error=traceback_locations(error))  # noqa: TRY400

    async def _attempt(self) -> WorkerError | None:
        try:
            log.debug("bucket_swept", announced=await self.sweep())
        except WorkerError as error:
            return error
        except Exception as error:  # noqa: BLE001 - none may end the worker
            log.error("bucket_sweep_crashed", error=traceback_locations(error))  # noqa: TRY400
            return UnavailableError(f"The sweep failed ({type(error).__name__}).")
        return None
