"""The claim loop around phase 2: claims sessions, keeps their leases, pauses, drains.

What to do is always read from the table; the bell only says when to look again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import structlog

from worker.backend.metadata_service import ClaimedSession, MetadataService
from worker.backoff import backoff
from worker.errors import UnavailableError
from worker.settings import Settings
from worker.suspects import Suspects
from worker.telemetry import whereabouts

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds without claiming while Supabase is in trouble
FIRST_DELAY, LONGEST_DELAY = 5.0, 600.0  # seconds until a suspect is tried again
PATIENCE = 3  # times that a session may meet trouble alone before it costs an attempt
LEASE_CHECKS = 6  # looks at the leases in the length of one

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class InHand:
    """A session this worker holds, when its lease began, and the task that works on it."""

    session: ClaimedSession
    leased_at: float
    task: asyncio.Task[None] = field(init=False)


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
        self._suspects = Suspects()
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
        with self._noting_trouble():
            await self._release_untried()
            await self._extend_leases()  # one that ran out unnoticed would be claimed again
            claimed = 0 if self._trouble else await self._claim()
        if self._trouble:
            await self._pause(self._trouble)
        elif not claimed:
            await _wait(self._changed, self._settings.sweep_seconds)

    async def _claim(self) -> int:
        room = self._room()
        if not room:
            return 0
        leased_at = _now()  # before the call: a lease may only be thought shorter
        async with _answered_within(self._settings.lease_seconds / 2):
            sessions = await self._metadata.claim(
                self._claim_id,
                most=room,
                lease_seconds=self._settings.lease_seconds,
                max_attempts=self._settings.max_attempts,
            )
        self._claim_id = uuid4()
        for session in sessions:
            self._take(InHand(session, leased_at))
        if not sessions:
            self._recovered()
        return len(sessions)

    def _room(self) -> int:
        if any(each.session.abandoned for each in self._in_hand.values()):
            return 0
        if self._pauses:  # a probe: one session shows whether all doors are open again
            return 0 if self._in_hand else 1
        return self._settings.concurrency - len(self._in_hand)

    def _take(self, held: InHand) -> None:
        session = held.session
        log.info("session_claimed", session=str(session.id), attempt=session.attempt)
        if older := self._in_hand.pop(session.id, None):
            older.task.cancel()  # its lease ran out, and the session came back to this worker
        # An abandoned one may be what its last worker died of: others beside it would spend
        # attempts, so it waits for them, and `_room` is none until it is done.
        before = [each.task for each in self._in_hand.values()] if session.abandoned else []
        held.task = asyncio.create_task(self._work(held, before))
        self._in_hand[session.id] = held

    async def _work(self, held: InHand, before: list[asyncio.Task[None]]) -> None:
        """Process one session, after those `before` it; whatever happens, it leaves the hand."""
        session = held.session
        try:
            if before:
                await asyncio.wait(before)
            await self._process(session)
            self._suspects.got_through(session.id)
            self._recovered()
        except UnavailableError as error:
            await self._give_back(session, error)
        except Exception as error:  # noqa: BLE001 - the end of its lease gives it back
            where = whereabouts(error)
            log.error("session_abandoned", session=str(session.id), error=where)  # noqa: TRY400
        finally:
            if self._in_hand.get(session.id) is held:
                del self._in_hand[session.id]
            self._changed.set()

    # --- trouble --------------------------------------------------------------------------------

    async def _give_back(self, session: ClaimedSession, error: UnavailableError) -> None:
        """Release the session untried; one that alone meets trouble is put off, then blamed."""
        if times := self._suspects.met_trouble(session.id):
            log.warning("session_suspected", session=str(session.id), code=error.code, times=times)
            delay = backoff(times, first=FIRST_DELAY, most=LONGEST_DELAY)
            with suppress(UnavailableError):
                if times < PATIENCE:
                    await self._metadata.release([session], delay_seconds=delay)
                else:
                    await self._metadata.fail(
                        session,
                        error,
                        max_attempts=self._settings.max_attempts,
                        retry_seconds=delay,
                    )
                return
        self._untried[session.id] = session
        self._note(error)

    @contextmanager
    def _noting_trouble(self) -> Iterator[None]:
        """Take every error at the queue for trouble: none may end the worker."""
        try:
            yield
        except UnavailableError as error:
            self._note(error)
        except Exception as error:  # noqa: BLE001 - see above
            log.error("queue_failed", error=whereabouts(error))  # noqa: TRY400 - see whereabouts
            self._note(UnavailableError(f"The queue failed ({type(error).__name__})."))

    def _note(self, error: UnavailableError) -> None:
        log.warning("supabase_in_trouble", code=error.code, reason=str(error))
        self._trouble = error

    async def _pause(self, trouble: UnavailableError) -> None:
        """Claim nothing for a while; what else fails meanwhile is the same trouble."""
        self._pauses += 1
        seconds = backoff(self._pauses, first=FIRST_PAUSE, most=LONGEST_PAUSE)
        seconds = max(seconds, trouble.retry_after or 0.0)
        log.warning("claiming_paused", seconds=round(seconds, 1), pauses=self._pauses)
        until = _now() + seconds
        while (left := until - _now()) > 0 and not self._stopping.is_set():
            await _wait(self._changed, left)
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
        untried = list(self._untried.values())
        if untried:
            released = await self._metadata.release(untried)
            for session in untried:
                del self._untried[session.id]
            log.info("sessions_released", released=len(released), of=len(untried))

    # --- leases ---------------------------------------------------------------------------------

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_seconds / LEASE_CHECKS)
            with self._noting_trouble():
                await self._extend_leases()
            if self._trouble:  # no claiming while leases cannot be extended
                self._changed.set()

    async def _extend_leases(self) -> None:
        """Extend the leases, all in one call, once one of them is past half of its length."""
        leased_at, in_hand = _now(), list(self._in_hand.values())
        seconds = self._settings.lease_seconds
        if not any(each.leased_at < leased_at - seconds / 2 for each in in_hand):
            return
        async with _answered_within(seconds / LEASE_CHECKS):
            held = await self._metadata.extend(
                [each.session for each in in_hand], lease_seconds=seconds
            )
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
        with self._noting_trouble():  # then their leases end by themselves
            await self._release_untried()


def _now() -> float:
    """Seconds on a clock that nobody sets and that counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@asynccontextmanager
async def _answered_within(seconds: float) -> AsyncIterator[None]:
    """Give up a call that would outlast what it is about."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise UnavailableError(f"Supabase did not answer within {seconds:.1f} s.") from None


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for `event`, `seconds` at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
