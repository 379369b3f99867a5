"""The claim loop of phase 2: claims sessions, has them processed, pauses in trouble, shuts down.

What to do is always read from the table; a notification only says when to look again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID, uuid4

import structlog

from worker.backend.metadata_service import MetadataService
from worker.backend.sessions import ClaimedSession
from worker.backoff import backoff
from worker.errors import UnavailableError
from worker.observing.logs import traceback_locations
from worker.observing.watchdog import FEED_SECONDS, Watchdog
from worker.processing.active_claims import ActiveClaims, now
from worker.processing.leases import Leases, answered_within
from worker.processing.poison_detector import PoisonDetector
from worker.settings import Settings

INITIAL_PAUSE, MAX_PAUSE = 1.0, 30.0  # seconds without claiming while Supabase is in trouble
INITIAL_DELAY, MAX_DELAY = 5.0, 600.0  # seconds until a suspected session is attempted again
MAX_FREE_RETRIES = 3  # times that a session may meet trouble alone before it costs an attempt

log = structlog.get_logger(__name__)


class ClaimLoop:
    """Claims sessions and has them processed, as many at once as the settings allow."""

    def __init__(
        self,
        metadata: MetadataService,
        process: Callable[[ClaimedSession], Awaitable[None]],
        settings: Settings,
        watchdog: Watchdog | None = None,
    ) -> None:
        """`process` carries one session to its end; `watchdog` is fed while the loop turns."""
        self._metadata = metadata
        self._process = process
        self._settings = settings
        self._watchdog = watchdog or Watchdog()
        self._changed = asyncio.Event()  # woken, a session ended, or the loop is to stop
        self._stopping = asyncio.Event()
        self._hurried = asyncio.Event()
        self._claim_id = uuid4()  # of the next claim, and of its repeats until it is answered
        self._active = ActiveClaims(settings.concurrency, self._changed.set)
        self._leases = Leases(metadata, self._active, settings.lease_seconds)
        self._to_release: dict[UUID, ClaimedSession] = {}
        self._poison = PoisonDetector()
        self._trouble: UnavailableError | None = None
        self._pauses = 0  # in a row, since a session last got through

    def wake(self) -> None:
        """Look at the table soon. May be called at any time, any number of times."""
        self._changed.set()

    def stop(self) -> None:
        """Claim no more and finish what is active; called again: release it at once."""
        if self._stopping.is_set():
            self._hurried.set()
        self._stopping.set()
        self._changed.set()

    @property
    def trouble(self) -> UnavailableError | None:
        """Why claiming is paused, if it is."""
        return self._trouble

    async def run(self) -> None:
        """Claim and process until `stop`, then shut down."""
        async with asyncio.TaskGroup() as group:
            keeper = group.create_task(self._keep_leases())
            while not self._stopping.is_set():
                await self._turn()
            await self._shut_down()
            keeper.cancel()

    # --- claiming -------------------------------------------------------------------------------

    async def _turn(self) -> None:
        """Release, claim if there is room, then wait for a reason to look again."""
        self._changed.clear()
        self._watchdog.feed()
        claimed = 0
        with self._noting_trouble():
            await self._release()
            self._watchdog.feed()
            claimed = 0 if self._trouble else await self._claim()
        if self._trouble:
            await self._pause(self._trouble)
        elif not claimed:
            await self._changed_within(self._settings.poll_seconds)

    async def _claim(self) -> int:
        room = self._active.room(probing=self._pauses > 0)
        if not room:
            return 0
        leased_at = now()  # before the call: a lease may only be thought shorter
        async with answered_within(self._settings.lease_seconds / 2):
            sessions = await self._metadata.claim(
                self._claim_id,
                limit=room,
                lease_seconds=self._settings.lease_seconds,
                max_attempts=self._settings.max_attempts,
            )
        self._claim_id = uuid4()
        for session in sessions:
            log.info("session_claimed", **_named(session))
            self._active.start(session, leased_at, self._work)
        if not sessions:
            self._recovered()
        return len(sessions)

    async def _work(self, session: ClaimedSession) -> None:
        try:
            await self._process(session)
        except UnavailableError as error:
            await self._give_back(session, error)
        except Exception as error:  # noqa: BLE001 - the end of its lease gives it back
            where = traceback_locations(error)
            log.error("session_crashed", **_named(session), error=where)  # noqa: TRY400
        else:
            self._poison.record_success(session.id)
            self._active.record_success()
            self._recovered()

    async def _changed_within(self, seconds: float) -> None:
        """Wait for a reason to look again, `seconds` at most, and feed the watchdog meanwhile."""
        until = now() + seconds
        self._watchdog.feed()
        while (left := until - now()) > 0 and not self._changed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, FEED_SECONDS)):
                    await self._changed.wait()
            self._watchdog.feed()

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._leases.check_seconds)
            with self._noting_trouble():
                await self._leases.extend()
            if self._trouble:  # no claiming while leases cannot be extended
                self._changed.set()

    # --- trouble --------------------------------------------------------------------------------

    async def _give_back(self, session: ClaimedSession, error: UnavailableError) -> None:
        """Release a session that met trouble; one that meets it alone is put off, then blamed."""
        times = self._poison.record_trouble(session.id)
        if not times:
            self._to_release[session.id] = session
            self._note(error)
            return
        log.warning("session_suspected", **_named(session), code=error.code, times=times)
        delay = backoff(times, initial=INITIAL_DELAY, maximum=MAX_DELAY)
        with suppress(UnavailableError):  # then the end of its lease gives it back
            if times < MAX_FREE_RETRIES:
                await self._metadata.release([session], delay_seconds=delay)
            else:
                await self._metadata.fail(
                    session,
                    error,
                    max_attempts=self._settings.max_attempts,
                    retry_seconds=delay,
                )

    @contextmanager
    def _noting_trouble(self) -> Iterator[None]:
        """Take every error at the queue for trouble: none may end the worker."""
        try:
            yield
        except UnavailableError as error:
            self._note(error)
        except Exception as error:  # noqa: BLE001 - see above
            log.error("queue_failed", error=traceback_locations(error))  # noqa: TRY400
            self._note(UnavailableError(f"The queue failed ({type(error).__name__})."))

    def _note(self, error: UnavailableError) -> None:
        log.warning("supabase_unavailable", code=error.code, reason=str(error))
        self._trouble = error

    async def _pause(self, trouble: UnavailableError) -> None:
        """Claim nothing for a while; what else fails meanwhile is the same trouble."""
        self._pauses += 1
        maximum = min(MAX_PAUSE, self._settings.poll_seconds)
        seconds = backoff(self._pauses, initial=INITIAL_PAUSE, maximum=maximum)
        seconds = max(seconds, trouble.retry_after or 0.0)
        log.warning("claiming_paused", seconds=round(seconds, 1), pauses=self._pauses)
        until = now() + seconds
        while (left := until - now()) > 0 and not self._stopping.is_set():
            await self._changed_within(left)
            self._changed.clear()
            with self._noting_trouble():
                await self._release()
        self._trouble = None

    def _recovered(self) -> None:
        if self._pauses:
            log.info("supabase_recovered", pauses=self._pauses)
        self._pauses = 0

    # --- the end --------------------------------------------------------------------------------

    async def _shut_down(self) -> None:
        """Finish what is active, within the time allowed; release the rest."""
        log.info("stopping", active=len(self._active))
        until = now() + self._settings.shutdown_timeout_seconds
        while self._active and not self._hurried.is_set() and (left := until - now()) > 0:
            self._changed.clear()
            await self._changed_within(left)
        self._to_release.update({each.id: each for each in await self._active.cancel()})
        with self._noting_trouble():  # then their leases end by themselves
            await self._release()

    async def _release(self) -> None:
        """Give back what trouble or a stop left undone; no attempt is spent on it."""
        sessions = list(self._to_release.values())
        if not sessions:
            return
        async with answered_within(self._settings.lease_seconds / 2):
            released = await self._metadata.release(sessions)
        for session in sessions:
            self._to_release.pop(session.id, None)
            outcome = "pending" if session.id in released else "lost"
            log.info("session_released", outcome=outcome, **_named(session))


def _named(session: ClaimedSession) -> dict[str, Any]:
    """What every log line of a session says."""
    return {"session": str(session.id), "attempt": session.attempt}
