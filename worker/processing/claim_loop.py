"""The claim loop around phase 2: claims sessions, has them processed, pauses, drains.

What to do is always read from the table; the bell only says when to look again.
"""

from __future__ import annotations

import asyncio
from collections import deque
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
from worker.processing.leases import ActiveClaim, Leases, answered_within, now
from worker.processing.poison_detector import PoisonDetector
from worker.settings import Settings

INITIAL_PAUSE, MAX_PAUSE = 1.0, 30.0  # seconds without claiming while Supabase is in trouble
INITIAL_DELAY, MAX_DELAY = 5.0, 600.0  # seconds until a suspect is tried again
AHEAD_SECONDS = 0.25  # of work that is claimed before a slot is free for it
MAX_AHEAD = 3  # times the slots
MAX_FREE_RETRIES = 3  # times that a session may meet trouble alone before it costs an attempt

log = structlog.get_logger(__name__)


class ClaimLoop:
    """Feeds claimed sessions to `process`, as many at once as the settings allow."""

    def __init__(
        self,
        metadata: MetadataService,
        process: Callable[[ClaimedSession], Awaitable[None]],
        settings: Settings,
        watchdog: Watchdog | None = None,
    ) -> None:
        """Bind; nothing runs yet. Whoever looks at `watchdog` sees whether the loop turns."""
        self._metadata = metadata
        self._process = process
        self._settings = settings
        self._heartbeat = watchdog or Watchdog()
        self._claim_id = uuid4()  # of the next claim, and of its repeats until it is answered
        self._leases = Leases(metadata, settings.lease_seconds)
        self._active = self._leases.active
        self._to_release: dict[UUID, ClaimedSession] = {}  # to be released
        self._poison = PoisonDetector()
        self._trouble: UnavailableError | None = None
        self._done_at: deque[float] = deque(maxlen=MAX_AHEAD * settings.concurrency)
        self._pauses = 0  # in a row, since a session last got through
        self._changed = asyncio.Event()  # the bell rang, a slot came free, or we are to stop
        self._stopping = asyncio.Event()
        self._hurried = asyncio.Event()

    def ring(self) -> None:
        """Look at the table soon. May be called at any time, any number of times."""
        self._changed.set()

    def stop(self) -> None:
        """Claim no more and finish what is in hand; called again: release it at once."""
        if self._stopping.is_set():
            self._hurried.set()
        self._stopping.set()
        self._changed.set()

    @property
    def trouble(self) -> UnavailableError | None:
        """Why claiming is paused, if it is."""
        return self._trouble

    async def run(self) -> None:
        """Claim and process until `stop`, then drain."""
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
        self._heartbeat.feed()
        claimed = 0
        with self._noting_trouble():
            await self._release_untried()
            self._heartbeat.feed()
            await self._leases.extend()  # one that ran out unnoticed would be claimed again
            self._heartbeat.feed()
            claimed = 0 if self._trouble else await self._claim()
        if self._trouble:
            await self._pause(self._trouble)
        elif not claimed:
            await self._changed_within(self._settings.poll_seconds)

    async def _changed_within(self, seconds: float) -> None:
        """Wait for a reason to look again, `seconds` at most, and feed meanwhile."""
        until = now() + seconds
        self._heartbeat.feed()
        while (left := until - now()) > 0 and not self._changed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, FEED_SECONDS)):
                    await self._changed.wait()
            self._heartbeat.feed()

    async def _claim(self) -> int:
        room = self._room()
        if not room:
            return 0
        leased_at = now()  # before the call: a lease may only be thought shorter
        async with answered_within(self._settings.lease_seconds / 2):
            sessions = await self._metadata.claim(
                self._claim_id,
                most=room,
                lease_seconds=self._settings.lease_seconds,
                max_attempts=self._settings.max_attempts,
            )
        self._claim_id = uuid4()
        for session in sessions:
            self._take(ActiveClaim(session, leased_at))
        if not sessions:
            self._recovered()
        return len(sessions)

    def _room(self) -> int:
        if any(each.session.abandoned for each in self._active.values()):
            return 0
        if self._pauses:  # a probe: one session shows whether all doors are open again
            return 0 if self._active else 1
        slots, active = self._settings.concurrency, len(self._active)
        room = slots + self._ahead() - active
        return room if active < slots or room >= slots else 0  # few large claims, not many small

    def _ahead(self) -> int:
        """How many sessions to hold beyond the slots: none where each takes long.

        Quick ones are claimed ahead, because a claim for each would cost more than its work. Of
        slow ones a dying worker should hold no more than it works on.
        """
        begin = now() - AHEAD_SECONDS
        return sum(at > begin for at in self._done_at)

    def _take(self, held: ActiveClaim) -> None:
        session = held.session
        log.info("session_claimed", **_named(session))
        if older := self._active.pop(session.id, None):
            older.task.cancel()  # its lease ran out, and the session came back to this worker
        # An abandoned one may be what its last worker died of: others beside it would spend
        # attempts, so it waits for them, and `_room` is none until it is done.
        before = [each.task for each in self._active.values()] if session.abandoned else []
        held.task = asyncio.create_task(self._work(held, before))
        self._active[session.id] = held

    async def _work(self, held: ActiveClaim, before: list[asyncio.Task[None]]) -> None:
        """Process one session, after those `before` it; whatever happens, it leaves the hand."""
        session = held.session
        try:
            if before:
                await asyncio.wait(before)
            await self._process(session)
            self._poison.record_success(session.id)
            self._done_at.append(now())
            self._recovered()
        except UnavailableError as error:
            await self._give_back(session, error)
        except Exception as error:  # noqa: BLE001 - the end of its lease gives it back
            where = traceback_locations(error)
            log.error("session_crashed", **_named(session), error=where)  # noqa: TRY400
        finally:
            self._leases.drop(held)
            self._changed.set()

    # --- trouble --------------------------------------------------------------------------------

    async def _give_back(self, session: ClaimedSession, error: UnavailableError) -> None:
        """Release the session untried; one that alone meets trouble is put off, then blamed."""
        if times := self._poison.record_trouble(session.id):
            log.warning("session_suspected", **_named(session), code=error.code, times=times)
            delay = backoff(times, initial=INITIAL_DELAY, maximum=MAX_DELAY)
            with suppress(UnavailableError):
                if times < MAX_FREE_RETRIES:
                    await self._metadata.release([session], delay_seconds=delay)
                else:
                    await self._metadata.fail(
                        session,
                        error,
                        max_attempts=self._settings.max_attempts,
                        retry_seconds=delay,
                    )
                return
        self._to_release[session.id] = session
        self._note(error)

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
                await self._release_untried()
        self._trouble = None

    def _recovered(self) -> None:
        if self._pauses:
            log.info("supabase_recovered", pauses=self._pauses)
        self._pauses = 0

    async def _release_untried(self) -> None:
        """Give back what trouble or a stop left untried; no attempt is spent on it."""
        untried = list(self._to_release.values())
        if untried:
            async with answered_within(self._settings.lease_seconds / 2):
                released = await self._metadata.release(untried)
            for session in untried:
                del self._to_release[session.id]
                outcome = "pending" if session.id in released else "lost"
                log.info("session_released", outcome=outcome, **_named(session))

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._leases.check_every)
            with self._noting_trouble():
                await self._leases.extend()
            if self._trouble:  # no claiming while leases cannot be extended
                self._changed.set()

    # --- the end --------------------------------------------------------------------------------

    async def _shut_down(self) -> None:
        """Finish what is in hand, within the time allowed; release the rest."""
        log.info("stopping", active=len(self._active))
        until = now() + self._settings.shutdown_timeout_seconds
        while self._active and not self._hurried.is_set() and (left := until - now()) > 0:
            self._changed.clear()
            await self._changed_within(left)
        unfinished = list(self._active.values())
        for each in unfinished:
            self._to_release[each.session.id] = each.session
            each.task.cancel()
        await asyncio.gather(*(each.task for each in unfinished), return_exceptions=True)
        with self._noting_trouble():  # then their leases end by themselves
            await self._release_untried()


def _named(session: ClaimedSession) -> dict[str, Any]:
    """What every log line of a session says."""
    return {"session": str(session.id), "attempt": session.attempt}
