"""Compares the bucket with the queue of uploads: what no trigger has announced is put into it.

Uploads announce themselves. Those from before the trigger, or from when it was disabled, are found
by reading the bucket once, page by page, in the order of the names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from worker.backend.upload_queue import UploadQueue
from worker.backoff import backoff
from worker.errors import UnavailableError, WorkerError
from worker.observing.logs import traceback_locations

ANNOUNCED_SECONDS = 3600.0  # between two passes while a trigger announces every upload
INITIAL_PAUSE, MAX_PAUSE = 1.0, 60.0  # seconds while Supabase is in trouble

log = structlog.get_logger(__name__)


class Reconciliation:
    """Passes over the bucket: at the start, when something was missed, and now and then."""

    def __init__(
        self, queue: UploadQueue, wake_intake: Callable[[], None], *, every_seconds: float
    ) -> None:
        """`every_seconds` while no trigger announces the uploads; 0: never.

        `wake_intake` is called when uploads were found.
        """
        self._queue = queue
        self._wake_intake = wake_intake
        self._every_seconds = every_seconds
        self._wanted = asyncio.Event()
        self._announcing: bool | None = None  # nobody has said so yet
        self._missed: int | None = None
        self._after = ""  # the last name that this pass has seen; a failure begins no new one
        self._missed_before: int | None = None  # this pass: it sees the uploads missed until then
        self.trouble: WorkerError | None = None  # what the last pass met

    def note(self, *, announcing: bool, missed: int | None) -> None:
        """Hear whether a trigger announces uploads, and the last bell of one that it missed.

        What was uploaded about the time of a change may have been announced by nobody.
        """
        has_changed = self._announcing is not None and announcing is not self._announcing
        if has_changed or (missed and missed != self._missed):
            log.info("uploads_announced", announced=announcing, missed=missed is not None)
            self._wanted.set()
        self._announcing, self._missed = announcing, missed

    async def run(self) -> None:
        """Pass over the bucket until cancelled."""
        failures = 0
        while self._every_seconds:
            self.trouble = await self._attempt()
            if self.trouble:
                failures += 1
                pause = backoff(failures, initial=INITIAL_PAUSE, maximum=MAX_PAUSE)
                log.warning(
                    "reconciliation_failed", code=self.trouble.code, retry_in=round(pause, 1)
                )
                await asyncio.sleep(pause)
            else:
                failures = 0
                await self._wanted_within(self._every_seconds)

    async def reconcile(self) -> int:
        """Read the bucket, from where the last pass failed or from its start.

        Returns:
            How many objects were announced.

        Raises:
            UnavailableError: Supabase is in trouble.
        """
        if not self._after:
            self._wanted.clear()
            self._missed_before = self._missed
        announced = 0
        while True:
            found, last_name = await self._queue.announce_page(self._after, self._missed_before)
            announced += found
            if found:
                self._wake_intake()
            self._after = last_name or ""
            if last_name is None:
                return announced

    async def _wanted_within(self, seconds: float) -> None:
        """Wait until a pass is wanted, or `seconds`; longer while uploads announce themselves."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not self._wanted.is_set() and loop.time() < (until := began + self._pause(seconds)):
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._wanted.wait()

    def _pause(self, seconds: float) -> float:
        return max(seconds, ANNOUNCED_SECONDS) if self._announcing else seconds

    async def _attempt(self) -> WorkerError | None:
        try:
            log.debug("bucket_reconciled", announced=await self.reconcile())
        except WorkerError as error:
            return error
        except Exception as error:  # noqa: BLE001 - none may end the worker
            log.error("reconciliation_crashed", error=traceback_locations(error))  # noqa: TRY400
            return UnavailableError(f"The reconciliation failed ({type(error).__name__}).")
        return None
