"""The claim loop around phase 2: claims sessions, keeps their leases, pauses, drains.

What to do is always read from the table; the bell only says when to look again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID, uuid4

import structlog

from worker.backend.metadata_service import ClaimedSession, MetadataService
from worker.backoff import backoff
from worker.errors import UnavailableError
from worker.settings import Settings

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds without claiming while Supabase is in trouble
LEASE_CHECKS = 6  # looks at the leases in the length of one

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class InHand:
    """A session this worker holds, the task that works on it, and when its lease began."""

    session: ClaimedSession
    task: asyncio.Task[None]
    leased_at: float
    alone: bool


class ClaimLoop:
    """Feeds claimed sessions to `process`, as many at once as the settings allow."""

    def __init__(
        self,
        metadata: MetadataService,
        process: Callable[[ClaimedSession], Awaitable[None]],
        settings: Settings,
    ) -> None:
        """Bind; nothing runs yet."""
        self._metadata = metadata
        self._process = process
        self._settings = settings
        self._claim_id = uuid4()  # of the next claim, and of its repeats until it is answered
        self._in_hand: dict[UUID, InHand] = {}
        self._untried: dict[UUID, ClaimedSession] = {}  # to be released
        self._trouble: UnavailableError | None = None
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

    async def run(self) -> None:
        """Claim and process until `stop`, then drain."""
        async with asyncio.TaskGroup() as group:
            keeper = group.create_task(self._keep_leases())
            while not self._stopping.is_set():
                await self._turn()
            await self._drain()
            keeper.cancel()

    # --- claiming -------------------------------------------------------------------------------

    async def _turn(self) -> None:
        """Release, claim if there is room, then wait for a reason to look again."""
        self._changed.clear()
        claimed = 0
        try:
            await self._release_untried()
            claimed = 0 if self._trouble else await self._claim()
        except UnavailableError as error:
            self._note(error)
        if self._trouble:
            await self._pause(self._trouble)
        elif not claimed:
            await _wait(self._changed, self._settings.sweep_seconds)

    async def _claim(self) -> int:
        room = self._room()
        if not room:
            return 0
        leased_at = time.monotonic()  # before the call: a lease may only be thought shorter
        sessions = await self._metadata.claim(
            self._claim_id,
            most=room,
            lease_seconds=self._settings.lease_seconds,
            max_attempts=self._settings.max_attempts,
        )
        self._claim_id = uuid4()
        # A session whose lease ran out comes by itself: it may be what killed its worker, so
        # it is worked on by itself, too, and spends nobody else's attempts.
        alone = len(sessions) == 1 and sessions[0].attempt > 1
        before = [each.task for each in self._in_hand.values()] if alone else []
        for session in sessions:
            log.info("session_claimed", session=str(session.id), attempt=session.attempt)
            task = asyncio.create_task(self._work(session, before))
            self._in_hand[session.id] = InHand(session, task, leased_at, alone)
        if not sessions:
            self._recovered()
        return len(sessions)

    def _room(self) -> int:
        if any(each.alone for each in self._in_hand.values()):
            return 0
        if self._pauses:  # a probe: one session shows whether all doors are open again
            return 0 if self._in_hand else 1
        return self._settings.concurrency - len(self._in_hand)

    async def _work(self, session: ClaimedSession, before: list[asyncio.Task[None]]) -> None:
        """Process one session, after those `before` it; whatever happens, it leaves the hand."""
        try:
            if before:
                await asyncio.wait(before)
            await self._process(session)
            self._recovered()
        except UnavailableError as error:
            self._untried[session.id] = session
            self._note(error)
        except Exception:
            # Its outcome could not even be recorded: the end of its lease gives it back.
            log.exception("session_abandoned", session=str(session.id))
        finally:
            self._in_hand.pop(session.id, None)
            self._changed.set()

    # --- trouble --------------------------------------------------------------------------------

    def _note(self, error: UnavailableError) -> None:
        log.warning("supabase_in_trouble", code=error.code, reason=str(error))
        self._trouble = error

    async def _pause(self, trouble: UnavailableError) -> None:
        """Claim nothing for a while; what else fails meanwhile is the same trouble."""
        self._pauses += 1
        seconds = backoff(self._pauses, first=FIRST_PAUSE, most=LONGEST_PAUSE)
        seconds = max(seconds, trouble.retry_after or 0.0)
        log.warning("claiming_paused", seconds=round(seconds, 1), pauses=self._pauses)
        await _wait(self._stopping, seconds)
        self._trouble = None

    def _recovered(self) -> None:
        if self._pauses:
            log.info("supabase_recovered", pauses=self._pauses)
        self._pauses = 0

    async def _release_untried(self) -> None:
        """Give back what trouble or a stop left untried; no attempt is spent on it."""
        untried = list(self._untried.values())
        if untried:
            released = await self._metadata.release(untried)
            for session in untried:
                del self._untried[session.id]
            log.info("sessions_released", released=len(released), of=len(untried))

    # --- leases ---------------------------------------------------------------------------------

    async def _keep_leases(self) -> None:
        """Extend the leases past half of their length, all in one call."""
        while True:
            await asyncio.sleep(self._settings.lease_seconds / LEASE_CHECKS)
            half = time.monotonic() - self._settings.lease_seconds / 2
            if any(each.leased_at < half for each in self._in_hand.values()):
                await self._extend(list(self._in_hand.values()))

    async def _extend(self, in_hand: list[InHand]) -> None:
        leased_at = time.monotonic()
        sessions = [each.session for each in in_hand]
        seconds = self._settings.lease_seconds
        try:
            held = await self._metadata.extend(sessions, lease_seconds=seconds)
        except UnavailableError as error:
            self._note(error)
            self._changed.set()
            return
        for each in in_hand:
            if each.session.id in held:
                each.leased_at = leased_at
            elif not each.task.done():
                log.warning("lease_lost", session=str(each.session.id))
                each.task.cancel()

    # --- the end --------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Finish what is in hand, within the time allowed; release the rest."""
        log.info("stopping", in_hand=len(self._in_hand))
        if self._in_hand:
            tasks = [each.task for each in self._in_hand.values()]
            finished = asyncio.ensure_future(asyncio.wait(tasks))
            hurried = asyncio.ensure_future(self._hurried.wait())
            await asyncio.wait(
                [finished, hurried],
                timeout=self._settings.drain_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            finished.cancel()
            hurried.cancel()
        unfinished = list(self._in_hand.values())
        for each in unfinished:
            self._untried[each.session.id] = each.session
            each.task.cancel()
        await asyncio.gather(*(each.task for each in unfinished), return_exceptions=True)
        try:
            await self._release_untried()
        except UnavailableError as error:
            # Their leases end by themselves; only the attempt stays counted.
            log.warning("not_released", code=error.code, sessions=len(self._untried))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for `event`, `seconds` at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
