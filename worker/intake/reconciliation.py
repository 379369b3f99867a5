"""Compares the bucket with the queue of uploads: what no trigger has announced is put into it.

Uploads announce themselves. Those from before the trigger, or from when it was disabled, are found
by reading the bucket, page by page, in the order of the names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from worker.backend.queue_look import QueueLook
from worker.backend.upload_queue import UploadQueue
from worker.backoff import backoff
from worker.errors import UnavailableError, WorkerError
from worker.observing.logs import traceback_locations

ANNOUNCED_SECONDS = 3600.0  # between two passes while a trigger announces every upload
REST_SECONDS = 5.0  # between two passes, however much is missed
MISSED_AGAIN_SECONDS = 60.0  # after which a bell that is still there wants another pass
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
        self._last_missed: int | None = None  # bell
        self._began = float("-inf")  # the last pass
        self._after = ""  # the last name that this pass has seen; a failure begins no new one
        self._seen_missed: int | None = None  # the last bell whose upload this pass sees
        self.trouble: WorkerError | None = None  # what the last pass met

    def note(self, look: QueueLook) -> None:
        """Hear whether a trigger announces uploads, and of one that it could not note.

        What was uploaded about the time of a change may have been announced by nobody. A bell of a
        missed upload stays for a minute at least, so that a later pass sees what the first did not.
        """
        was, self._announcing = self._announcing, look.announcing
        is_missed = look.last_missed is not None and (
            look.last_missed != self._last_missed or _now() - self._began > MISSED_AGAIN_SECONDS
        )
        self._last_missed = look.last_missed
        if is_missed or (was is not None and was is not look.announcing):
            log.info("uploads_announced", announced=look.announcing, missed=is_missed)
            self._wanted.set()

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
                await asyncio.sleep(min(self._every_seconds, REST_SECONDS))
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
            self._seen_missed, self._began = self._last_missed, _now()
        announced = 0
        while True:
            found, last_name = await self._queue.announce_page(self._after, self._seen_missed)
            announced += found
            if found:
                self._wake_intake()
            self._after = last_name or ""
            if last_name is None:
                return announced

    async def _wanted_within(self, seconds: float) -> None:
        """Wait until a pass is wanted, or `seconds`; longer while uploads announce themselves."""
        while not self._wanted.is_set() and _now() < (until := self._began + self._pause(seconds)):
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
            log.error("reconciliation_crashed", error=traceback_locations(error))
            return UnavailableError(f"The reconciliation failed ({type(error).__name__}).")
        return None


def _now() -> float:
    return asyncio.get_running_loop().time()
