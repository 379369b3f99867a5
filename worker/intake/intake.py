"""Phase 1: an uploaded object becomes a session at once, exactly once, with its true hash.

Whoever announces it, the object waits in the queue of uploads, is claimed, streamed and hashed, and
gets its session. Only its own fault refuses it; whatever else fails lets it wait again.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import structlog

from worker.backend.held_objects import HeldObject, HeldObjects
from worker.backend.object_store import ObjectStore
from worker.backend.queued_uploads import ClaimedObject, IntakeResult, Measured, Outcome
from worker.backend.refusals import OWN_FAULTS
from worker.backend.upload_queue import UploadQueue
from worker.backoff import backoff
from worker.errors import SizeMismatchError, UnavailableError, UnexpectedError, WorkerError
from worker.observing import metrics
from worker.observing.logs import traceback_locations
from worker.queueing.batcher import Batcher
from worker.queueing.leases import CHECKS_PER_LEASE, answered_within

RECORDING = ".c3d"
INITIAL_DELAY, MAX_DELAY = 30.0, 3600.0  # seconds until an upload that has to wait is due again
# An object of another size than Storage says may have been cut off on the way here. After so many
# attempts, more than an hour, it is refused: each of them downloads it.
MAX_SIZE_ATTEMPTS = 10
# A new session whose bytes this worker holds is left to it for so long; others would download them.
RESERVED_SECONDS, RESERVED_AHEAD = 10.0, 3  # and so many for each slot
# Long enough for a batch of what the slots hold, and short: somebody waits for the newest upload.
LINGER_SECONDS = 0.01

log = structlog.get_logger(__name__)


def is_recording(path: str) -> bool:
    """Whether an object is one that gets a session to be read."""
    return path.lower().endswith(RECORDING)


class Intake:
    """Takes in uploads."""

    def __init__(
        self,
        store: ObjectStore,
        queue: UploadQueue,
        *,
        slots: int,
        patient: re.Pattern[str],
        held: HeldObjects,
        wake_sessions: Callable[[], None] = lambda: None,
    ) -> None:
        """`slots` uploads are downloaded at once; `patient` finds the patient's code in a path.

        The bytes of each stay `held` for phase 2; `wake_sessions` is called when a session can be
        claimed.
        """
        self.queue = queue
        self._store = store
        self._slots = asyncio.Semaphore(slots)
        self._pattern = patient
        self._held = held
        self._max_reserved = slots * RESERVED_AHEAD
        self._wake_sessions = wake_sessions
        self._taker = Batcher[Measured, IntakeResult](
            lambda measured: queue.take(measured, self._patient), linger_seconds=LINGER_SECONDS
        )

    async def take(self, claimed: ClaimedObject) -> IntakeResult:
        """Take in an upload that this worker has claimed.

        Raises:
            UnavailableError: Supabase is in trouble, or this upload alone is; nothing was changed.
        """
        started = time.monotonic()
        try:
            result = await self._session(claimed)
        except UnavailableError:
            raise
        except WorkerError as error:
            result = await self._refuse_or_wait(claimed, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs one upload
            log.error("unexpected", object=str(claimed.id), error=traceback_locations(error))
            kind = type(error).__name__
            result = await self._refuse_or_wait(
                claimed, UnexpectedError(f"The worker failed on {claimed.path} ({kind}).")
            )
        metrics.object_taken(result.outcome)
        if result.outcome is Outcome.DUPLICATE:
            metrics.cache_hit()
        if result.requeued:
            log.info("session_requeued", session=str(result.session))
        if result.patient_changed:
            log.info("session_moved", session=str(result.session))
        if result.is_to_be_read:
            self._wake_sessions()
        # File names can name patients, so no log repeats the path.
        log.info(
            "object_taken",
            outcome=str(result.outcome),
            object=str(claimed.id),
            seconds=round(time.monotonic() - started, 3),
            **({"session": str(result.session)} if result.session else {}),
            **({"code": result.detail.partition(":")[0]} if result.detail else {}),
        )
        return result

    async def take_now(self, object_id: UUID) -> IntakeResult | None:
        """Take in an object of the bucket without waiting for its turn.

        Returns:
            What became of it, now or earlier; None: the bucket has no such object.

        Raises:
            UnavailableError: Supabase is in trouble; the upload waits in the queue.
        """
        if await self.queue.announce(object_id) is None:
            return None
        claimed = await self.queue.claim_one(object_id)
        if claimed is None:
            return await self.queue.result(object_id)
        keeper = asyncio.create_task(self._keep_lease(claimed))
        try:
            return await self.take(claimed)
        except UnavailableError as error:
            await self.queue.release([claimed], error)
            raise
        finally:
            keeper.cancel()

    async def _keep_lease(self, claimed: ClaimedObject) -> None:
        """Extend the lease until cancelled; whoever lost it is told so when it ends the upload."""
        seconds = self.queue.lease_seconds / CHECKS_PER_LEASE
        while True:
            await asyncio.sleep(seconds)
            with suppress(WorkerError):
                async with answered_within(seconds):
                    await self.queue.extend([claimed])

    async def _session(self, claimed: ClaimedObject) -> IntakeResult:
        recording = is_recording(claimed.path)
        with self._held.incoming(claimed.size if recording else None) as incoming:
            with self._taker.expecting():
                async with self._slots:
                    digest = await self._store.measure(
                        claimed.path, size=claimed.size, into=incoming
                    )
            measured = Measured(
                claimed,
                sha256=digest.sha256,
                size=digest.size,
                patient=self._patient(claimed.path),
                recording=recording,
                reserved_seconds=self._reserved_seconds(incoming),
            )
            result = await self._taker.end(measured)
            if result.session and result.is_to_be_read:
                self._held.keep(result.session, incoming, digest.sha256)
        return result

    async def _refuse_or_wait(self, claimed: ClaimedObject, error: WorkerError) -> IntakeResult:
        times = claimed.attempt if claimed.waited_for == error.code else 1  # in a row
        may_pass = isinstance(error, SizeMismatchError) and times < MAX_SIZE_ATTEMPTS
        if isinstance(error, OWN_FAULTS) and not may_pass:
            return await self.queue.refuse(claimed, error)
        delay = backoff(times, initial=INITIAL_DELAY, maximum=MAX_DELAY)
        log.warning(
            "object_put_off",
            object=str(claimed.id),
            code=error.code,
            times=times,
            retry_in=round(delay),
        )
        released = await self.queue.release([claimed], error, delay_seconds=delay, counted=True)
        waits = claimed.id in released
        return IntakeResult(Outcome.WAITING if waits else Outcome.LOST, detail=error.told)

    def _reserved_seconds(self, incoming: HeldObject) -> float:
        """Return how long the session is left to this worker: not where it has plenty to read."""
        soon = incoming.file is not None and len(self._held.sessions) < self._max_reserved
        return RESERVED_SECONDS if soon else 0.0

    def _patient(self, path: str) -> str | None:
        found = self._pattern.search(path)
        return (found[self._pattern.groups] or None) if found else None
