"""Phase 1: an uploaded object becomes a session at once, exactly once, with its true hash.

Whoever announces it, a webhook, a sweep or a command, the object goes the same way: reserved,
streamed and hashed, looked up, and its outcome written. Whatever fails on that way leaves it to
the next sweep.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from uuid import UUID

import structlog

from worker.backend.cache_service import CacheService
from worker.backend.intake_register import ClaimedObject, IntakeRegister, IntakeResult, Outcome
from worker.backend.metadata_service import MetadataService
from worker.backend.object_store import ObjectDigest, ObjectStore
from worker.backend.sessions import KnownSession, NewSession, Relinked
from worker.backoff import backoff
from worker.errors import (
    ObjectMissingError,
    PermanentError,
    RetryableError,
    SizeMismatchError,
    UnavailableError,
    UnexpectedError,
    WorkerError,
)
from worker.observing import metrics
from worker.observing.logs import traceback_locations

RECORDING = ".c3d"
HEALABLE = frozenset({"failed", "skipped"})
RENEWALS = 3  # of a reservation in its length
# An object that meets trouble of its own is put off, and refused after nearly an hour: until then
# it may have been Storage's trouble, and a refused version is never looked at again.
INITIAL_DELAY, MAX_DELAY, MAX_TROUBLED_ATTEMPTS = 30.0, 600.0, 10  # seconds, seconds, tries
MAX_MET = 1000  # objects whose trouble is remembered

log = structlog.get_logger(__name__)


def is_recording(path: str) -> bool:
    """Whether an object is one that gets a session to be read."""
    return path.lower().endswith(RECORDING)


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes in objects, as many at once as there are `slots`."""

    store: ObjectStore
    register: IntakeRegister
    metadata: MetadataService
    cache: CacheService
    slots: asyncio.Semaphore
    patient: re.Pattern[str]
    requeued: Callable[[], None] = lambda: None  # a session can be claimed, and no INSERT says so
    _announced: dict[tuple[UUID, str], asyncio.Task[IntakeResult | None]] = field(
        default_factory=dict
    )
    _met: Counter[tuple[UUID, str]] = field(default_factory=Counter)

    async def announced(self, object_id: UUID, version: str) -> IntakeResult | None:
        """Take in an object that somebody says was uploaded.

        Announced several times at once, it is taken in once, and is a duplicate to all but one.

        Returns:
            What became of it, now or earlier; None: the bucket has no such object to take in.

        Raises:
            UnavailableError: Supabase is in trouble; nothing is recorded.
        """
        task = self._announced.get((object_id, version))
        if task is None:
            task = asyncio.create_task(self._take_one(object_id))
            self._announced[object_id, version] = task
            task.add_done_callback(lambda _: self._announced.pop((object_id, version)))
            return await asyncio.shield(task)
        taken = await asyncio.shield(task)
        return IntakeResult(Outcome.DUPLICATE, taken.session) if taken and taken.session else taken

    async def reserve(
        self, claim: Coroutine[None, None, ClaimedObject | None]
    ) -> ClaimedObject | None:
        """Await the answer to a `claim` even when cancelled, and then give back what it says."""
        answer = asyncio.ensure_future(claim)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            with suppress(WorkerError):
                if claimed := await answer:
                    await self._give_back(claimed)
            raise

    async def take(self, claimed: ClaimedObject) -> IntakeResult:
        """Take in an object that is reserved for this worker.

        Raises:
            UnavailableError: Supabase is in trouble; the object is given back.
            SizeMismatchError, UnexpectedError: the object is; it is put off for everybody.
        """
        started = time.monotonic()
        keeper = asyncio.create_task(self._keep(claimed))
        try:
            taken = await self._judged(claimed)
            outcome = await self.register.record(claimed, taken)
        except RetryableError:
            keeper.cancel()
            await self._put_off(claimed)
            raise
        except BaseException:
            await self._give_back(claimed)
            raise
        finally:
            keeper.cancel()
        self._met.pop((claimed.id, claimed.version), None)
        metrics.object_taken(outcome)
        # File names can name patients, so no log repeats the path.
        log.info(
            "object_taken",
            outcome=str(outcome),
            object=str(claimed.id),
            seconds=round(time.monotonic() - started, 3),
            **({"session": str(taken.session)} if taken.session else {}),
            **({"code": taken.detail.partition(":")[0]} if taken.detail else {}),
        )
        return taken

    async def close(self) -> None:
        """Give back what was announced and is not done."""
        tasks = list(self._announced.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take_one(self, object_id: UUID) -> IntakeResult | None:
        async with self.slots:
            claimed = await self.reserve(self.register.claim_one(object_id))
            if claimed is not None:
                return await self.take(claimed)
        earlier = await self.register.outcome(object_id)
        if earlier and earlier.outcome is Outcome.SESSION:
            return IntakeResult(Outcome.DUPLICATE, earlier.session)
        return earlier

    async def _judged(self, claimed: ClaimedObject) -> IntakeResult:
        """Find or make the object's session, or say why there can be none."""
        try:
            measured = await self.store.measure(claimed.path, size=claimed.size)
            known = await self.metadata.find_session(measured.sha256, claimed.path)
            if known is None:
                return await self._create(claimed, measured)
            return await self._recognise(claimed, measured, known)
        except UnavailableError:
            raise
        except (PermanentError, ObjectMissingError) as error:
            return _refused(error)
        except SizeMismatchError as error:  # it can have been cut off on the way here
            problem: WorkerError = error
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs one object
            log.error("unexpected", object=str(claimed.id), error=traceback_locations(error))  # noqa: TRY400
            problem = UnexpectedError(
                f"The worker failed on {claimed.path} ({type(error).__name__})."
            )
        # What does not pass must not download the object again with every sweep.
        if len(self._met) > MAX_MET:
            self._met.clear()
        self._met[claimed.id, claimed.version] += 1
        if self._met[claimed.id, claimed.version] < MAX_TROUBLED_ATTEMPTS:
            raise problem
        return _refused(problem)

    async def _create(self, claimed: ClaimedObject, measured: ObjectDigest) -> IntakeResult:
        recording = is_recording(claimed.path)
        new = NewSession(
            file_path=claimed.path,
            file_hash=measured.sha256,
            file_size_bytes=measured.size,
            original_filename=claimed.path.rpartition("/")[2],
            patient_id=self._patient(claimed.path),
            processing_status="pending" if recording else "skipped",
        )
        session, created = await self.metadata.create_session(new)
        if not created:  # another upload of the same bytes was faster
            await self._hit(session)
            return IntakeResult(Outcome.DUPLICATE, session)
        return IntakeResult(Outcome.SESSION if recording else Outcome.SKIPPED, session)

    async def _recognise(
        self, claimed: ClaimedObject, measured: ObjectDigest, known: KnownSession
    ) -> IntakeResult:
        elsewhere = known.file_path != claimed.path
        # Its own session, made by hand, or by a worker that could not say so any more.
        own = not elsewhere and not known.taken_in
        if not own:
            await self._hit(known.id)
        if elsewhere or known.status in HEALABLE:
            bucket, size = self.register.bucket, measured.size
            relinked = await self.metadata.relink(known.id, bucket, claimed.path, size=size)
            if relinked is Relinked.REQUEUED:
                log.info("session_requeued", session=str(known.id))
                self.requeued()
        return IntakeResult(Outcome.SESSION if own else Outcome.DUPLICATE, known.id)

    async def _hit(self, session: UUID) -> None:
        await self.cache.hit(session)
        metrics.cache_hit()

    def _patient(self, path: str) -> str | None:
        found = self.patient.search(path)
        return (found[self.patient.groups] or None) if found else None

    async def _keep(self, claimed: ClaimedObject) -> None:
        """Renew the reservation while a large object is streamed."""
        while True:
            await asyncio.sleep(self.register.lease_seconds / RENEWALS)
            try:
                await self.register.hold(claimed, self.register.lease_seconds)
            except UnavailableError as error:
                log.warning("object_not_held", object=str(claimed.id), code=error.code)

    async def _put_off(self, claimed: ClaimedObject) -> None:
        """Keep the reservation, so that nobody takes the object up before a while is over."""
        times = self._met[claimed.id, claimed.version]
        delay = backoff(times, initial=INITIAL_DELAY, maximum=MAX_DELAY)
        log.warning("object_put_off", object=str(claimed.id), times=times, retry_in=round(delay))
        try:
            await self.register.hold(claimed, ceil(delay))
        except UnavailableError as error:
            log.warning("object_not_held", object=str(claimed.id), code=error.code)

    async def _give_back(self, claimed: ClaimedObject) -> None:
        try:
            await self.register.release(claimed)
        except UnavailableError as error:
            # Its reservation ends by itself.
            log.warning("object_not_released", object=str(claimed.id), code=error.code)


def _refused(error: WorkerError) -> IntakeResult:
    return IntakeResult(Outcome.REFUSED, detail=f"{error.code}: {error}")
