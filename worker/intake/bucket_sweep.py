"""The sweep of the bucket: takes in every object that no webhook announced.

A pass goes through the bucket once, in the order of the names, and asks the database for the next
object that nobody has taken in. So a pass over a bucket that is all taken in is one question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import structlog

from worker.backend.intake_register import ClaimedObject, IntakeResult
from worker.backoff import backoff
from worker.errors import UnavailableError, WorkerError
from worker.intake.intake import Intake
from worker.observing.logs import traceback_locations

INITIAL_PAUSE, MAX_PAUSE = 1.0, 60.0  # seconds while Supabase is in trouble
MIN_PAUSE = 1.0  # seconds between two passes, however often it is woken
MAX_IN_A_ROW = 8  # objects that meet trouble before the pass takes it for everybody's

log = structlog.get_logger(__name__)


class BucketSweep:
    """Passes over the bucket, every `every_seconds` (0: never) and whenever it is woken."""

    def __init__(self, intake: Intake, *, every_seconds: float, at_once: int) -> None:
        """`at_once` is how many objects are taken in beside each other."""
        self._intake = intake
        self._every_seconds = every_seconds
        self._at_once = at_once
        self.behind = ""  # where the next pass begins
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Sweep soon. May be called at any time, any number of times."""
        self._woken.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        failures = 0
        if not self._every_seconds:
            await self._woken.wait()
        while True:
            self._woken.clear()
            try:
                taken = await self.sweep()
            except WorkerError as error:
                failures += 1
                pause = backoff(failures, initial=INITIAL_PAUSE, maximum=MAX_PAUSE)
                said = {}
                if isinstance(error, UnavailableError):
                    pause = max(pause, error.retry_after or 0.0)
                    said = {"reason": str(error)}  # other sentences name a file, and so a patient
                log.warning("bucket_sweep_failed", code=error.code, retry_in=pause, **said)
                await asyncio.sleep(pause)
                continue
            failures = 0
            log.debug("bucket_swept", taken=taken)
            await asyncio.sleep(MIN_PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_seconds or None):
                    await self._woken.wait()

    async def sweep(self, on_taken: Callable[[IntakeResult], None] = lambda _: None) -> int:
        """Take in what nobody has, and return how many objects that were.

        Raises:
            UnavailableError: Supabase is in trouble; what is not done stays for the next pass.
        """
        one_pass = _Pass(self._intake, on_taken, self.behind)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(one_pass.run())
        # Objects that Storage cannot read must not hold up for ever what comes behind them.
        if self.behind and one_pass.at_end:
            self.wake()  # what was passed over is next
        self.behind = "" if one_pass.at_end else one_pass.after
        if one_pass.trouble:
            raise one_pass.trouble
        return one_pass.taken


class _Pass:
    """One way through the bucket, walked by several at once."""

    def __init__(
        self, intake: Intake, on_taken: Callable[[IntakeResult], None], after: str
    ) -> None:
        self._intake = intake
        self._on_taken = on_taken
        self._asking = asyncio.Lock()
        self._in_a_row = 0
        self.after = after
        self.at_end = False
        self.taken = 0
        self.trouble: WorkerError | None = None

    async def run(self) -> None:
        while self._in_a_row < MAX_IN_A_ROW:
            async with self._intake.slots:
                with self._noting_trouble(MAX_IN_A_ROW):
                    claimed = await self._next()
                    if claimed is None:
                        return
                    # What cannot be taken in now is met again by a later pass.
                    with self._noting_trouble(1):
                        taken = await self._intake.take(claimed)
                        self._in_a_row = 0
                        self.taken += 1
                        self._on_taken(taken)

    @contextmanager
    def _noting_trouble(self, weight: int) -> Iterator[None]:
        """Take every error for trouble: none may end the worker."""
        try:
            yield
        except WorkerError as error:
            self.trouble = error
            self._in_a_row += weight
        except Exception as error:  # noqa: BLE001 - see above
            log.error("bucket_sweep_crashed", error=traceback_locations(error))  # noqa: TRY400
            self.trouble = UnavailableError(f"The sweep failed ({type(error).__name__}).")
            self._in_a_row += weight

    async def _next(self) -> ClaimedObject | None:
        """Claim the next object; one asks for all, so the end of the bucket is met once."""
        async with self._asking:
            if self.at_end:
                return None
            claimed = await self._intake.reserve(self._intake.register.claim(self.after))
            if claimed is None:
                self.at_end = True
            else:
                self.after = claimed.path
            return claimed
