"""The claim loop of a queue: claims items, has them worked on, pauses in trouble, shuts down.

What to do is always read from the table; a notification only says when to look again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic
from uuid import UUID, uuid4

import structlog

from worker.backoff import backoff
from worker.errors import UnavailableError
from worker.observing.logs import traceback_locations
from worker.observing.sd_notify import tell_waiting, tell_working
from worker.observing.watchdog import Watchdog
from worker.queueing.active_claims import MAX_AHEAD, ActiveClaims
from worker.queueing.clock import now, wait_for
from worker.queueing.leases import Leases, answered_within
from worker.queueing.outage import OutageCheck
from worker.queueing.poison_detector import PoisonDetector
from worker.queueing.queue import ItemT, Queue, named

POLL_SECONDS = 600.0  # a worker's poll looks at the queue more often, and wakes the loop
SHORT_CLAIM_SECONDS = 0.25  # after one that did not fill the room; mostly nothing else is due
INITIAL_PAUSE, MAX_PAUSE = 1.0, 30.0  # seconds without claiming while Supabase is in trouble
MAX_DRAIN_PAUSES, MAX_DRAIN_PAUSE = 10, 1.0  # in a row, and seconds of each: somebody looks on
INITIAL_DELAY, MAX_DELAY = 5.0, 3600.0  # seconds until an item that alone meets trouble is due
ANSWER_SECONDS = 2.0  # more at a stop, for a claim under way: one that is lost costs an attempt
RELEASE_SECONDS = 10.0  # to give back at a stop what is unfinished; then its lease ends by itself

log = structlog.get_logger(__name__)


class ClaimLoop(Generic[ItemT]):
    """Claims the items of a queue and has them worked on, as many at once as there are slots."""

    def __init__(
        self,
        queue: Queue[ItemT],
        work: Callable[[ItemT], Awaitable[object]],
        *,
        slots: int,
        lease_seconds: int,
        shutdown_timeout_seconds: float,
        poll_seconds: float = POLL_SECONDS,
        max_pause_seconds: float = MAX_PAUSE,
        max_ahead: int = MAX_AHEAD,
        watchdog: Watchdog | None = None,
        outage: OutageCheck | None = None,
    ) -> None:
        """Bind; nothing is claimed yet.

        Args:
            queue: where items are claimed.
            work: carries one to its end; raises UnavailableError to have it given back.
            slots: how many items are worked on at once.
            lease_seconds: how long a claim holds unless extended.
            poll_seconds: how often the queue is read when nothing wakes the loop.
            shutdown_timeout_seconds: how long active items may go on after `stop`; `run` ends
                within ANSWER_SECONDS and RELEASE_SECONDS of that, whatever Supabase does.
            max_pause_seconds: the longest pause while Supabase is in trouble, MAX_PAUSE at most.
            max_ahead: how many quick items are claimed ahead of a free slot, times the slots.
            watchdog: is fed while the loop turns.
            outage: is asked whether every item would meet what some have met; if not, the loop
                goes on to other items soon. Without it, every trouble is taken for an outage.
        """
        self._queue = queue
        self._item_work = work
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._shutdown_timeout_seconds = shutdown_timeout_seconds
        self._max_pause_seconds = min(MAX_PAUSE, max_pause_seconds)
        self._watchdog = watchdog or Watchdog()
        self._outage = outage
        self._changed = asyncio.Event()  # woken, there is more room, or the loop is to stop
        self._stopping = asyncio.Event()
        self._hurried = asyncio.Event()
        self._claim_id = uuid4()  # of the next claim, and of its repeats until it is answered
        self._active = ActiveClaims[ItemT](slots, self._room_changed, max_ahead=max_ahead)
        self._leases = Leases[ItemT](queue, self._active, lease_seconds)
        self._none_left_until = 0.0  # a claim took all; until then an item's end wakes nobody
        self._to_release: dict[UUID, tuple[ItemT, UnavailableError | None]] = {}
        self._poison = PoisonDetector()
        self._trouble: UnavailableError | None = None
        self._pauses = 0  # in a row, since an item last got through
        self._is_outage = False  # the last of them was for everybody's trouble
        self._all_back_at = 0.0  # all workers, from the last outage
        self._draining = False

    def wake(self) -> None:
        """Look at the queue soon. May be called at any time, any number of times."""
        self._changed.set()

    def look_again(self) -> None:
        """Look at all of the queue soon: claims may pass by what is due."""
        self._queue.look_at_all()
        self.wake()

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
        """Claim and work until `stop`, then shut down."""
        async with asyncio.TaskGroup() as group:
            keeper = group.create_task(self._keep_leases())
            turning = group.create_task(self._turn_until_stopped())
            await self._stopping.wait()
            await self._shut_down(turning)
            keeper.cancel()

    async def drain(self) -> None:
        """Claim and work until nothing is due any more.

        Raises:
            UnavailableError: Supabase is in trouble, and it did not pass.
        """
        self._draining = True
        await self.run()
        if self._trouble:
            raise self._trouble

    async def _turn_until_stopped(self) -> None:
        """Release, claim if there is room, then wait for a reason to look again."""
        while not self._stopping.is_set():
            self._changed.clear()
            self._watchdog.feed()
            seconds = self._poll_seconds
            with self._noting_trouble():
                await self._release()
                self._watchdog.feed()
                seconds = await self._claim() if not self._trouble else seconds
            hopeless = self._is_outage and self._pauses >= MAX_DRAIN_PAUSES
            if self._trouble and self._draining and hopeless:
                self.stop()
            elif self._trouble:
                await self._pause(self._trouble)
            elif self._draining and not self._active:
                self.stop()
            elif seconds and not self._stopping.is_set():  # a stop may have come with the claim
                await wait_for(self._changed, seconds=seconds, watchdog=self._watchdog)
                if seconds == self._poll_seconds and not self._changed.is_set():
                    self._queue.look_at_all()

    async def _claim(self) -> float:
        """Claim as many items as there is room for; return the seconds until the next claim."""
        room = self._active.room(probing=self._is_outage)
        self._none_left_until = 0.0
        if not room:
            return self._poll_seconds
        if self._draining:  # which ends when nothing is due
            self._queue.look_at_all()
        leased_at = now()  # before the call: a lease may only be thought shorter
        # After an outage those of workers that are not back yet only look abandoned.
        returning = not self._draining and (self._is_outage or leased_at < self._all_back_at)
        abandoned = not (returning or self._active.has_abandoned)
        async with answered_within(self._lease_seconds / 2):
            items = await self._queue.claim(self._claim_id, limit=room, with_abandoned=abandoned)
        self._claim_id = uuid4()
        if len(items) < room and abandoned:
            self._none_left_until = now() + SHORT_CLAIM_SECONDS
        for item in items:
            self._log(log.info, "claimed", item)
            self._active.start(item, leased_at, self._work)
        if not items:
            self._recovered()
            return self._poll_seconds
        return 0.0 if len(items) >= room else SHORT_CLAIM_SECONDS

    def _room_changed(self) -> None:
        """Look again, unless a claim just took all: one in vain would delay what is worked on."""
        may_be_due = now() >= self._none_left_until
        if may_be_due or self._to_release or self._draining or self._stopping.is_set():
            self._changed.set()

    async def _work(self, item: ItemT) -> None:
        try:
            await self._item_work(item)
        except UnavailableError as error:
            await self._give_back(item, error)
        except Exception as error:  # noqa: BLE001 - the end of its lease gives it back
            self._log(log.error, "crashed", item, error=traceback_locations(error))
        else:
            self._poison.record_success(item.id)
            self._active.record_success()
            self._recovered()

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._leases.check_seconds)
            with self._noting_trouble():
                await self._leases.extend()
            if self._trouble:  # no claiming while leases cannot be extended
                self._changed.set()

    async def _give_back(self, item: ItemT, error: UnavailableError) -> None:
        """Release an item that met trouble; one that meets it alone is put off, ever longer."""
        times = self._poison.record_trouble(item.id)
        if not times:
            self._to_release[item.id] = (item, error)
            self._note(error)
            return
        delay = backoff(times, initial=INITIAL_DELAY, maximum=MAX_DELAY)
        self._log(
            log.warning, "suspected", item, code=error.code, times=times, retry_in=round(delay)
        )
        with suppress(UnavailableError):  # then the end of its lease gives it back
            await self._queue.release([item], error, delay_seconds=delay)

    @contextmanager
    def _noting_trouble(self) -> Iterator[None]:
        """Take every error at the queue for trouble: none may end the worker."""
        try:
            yield
        except UnavailableError as error:
            self._note(error)
        except Exception as error:  # noqa: BLE001 - see above
            log.error("queue_failed", error=traceback_locations(error))
            self._note(UnavailableError(f"The queue failed ({type(error).__name__})."))

    def _note(self, error: UnavailableError) -> None:
        log.warning("supabase_unavailable", code=error.code, reason=str(error))
        self._trouble = error

    async def _pause(self, trouble: UnavailableError) -> None:
        """Claim nothing for a while; what else fails meanwhile is the same trouble."""
        self._pauses += 1
        self._watchdog.feed()
        self._is_outage = self._outage is None or await self._outage.is_everybodys(trouble)
        if self._draining and not self._is_outage:  # what is put off is not waited for
            self._poison.others_get_through()
        failures = self._pauses if self._is_outage else 1  # others may get through: look soon
        maximum = MAX_DRAIN_PAUSE if self._draining else self._max_pause_seconds
        seconds = backoff(failures, initial=INITIAL_PAUSE, maximum=maximum)
        seconds = max(seconds, trouble.retry_after or 0.0)
        log.warning("claiming_paused", seconds=round(seconds, 1), pauses=self._pauses)
        tell_waiting(self._queue.kind, f"{trouble.code}: {trouble}")
        until = now() + seconds
        while (left := until - now()) > 0 and not self._stopping.is_set():
            await wait_for(self._changed, seconds=left, watchdog=self._watchdog)
            self._changed.clear()
            with self._noting_trouble():
                await self._release()
        self._trouble = None

    def _recovered(self) -> None:
        if self._pauses:
            log.info("supabase_recovered", pauses=self._pauses)
            tell_working(self._queue.kind)
        if self._is_outage:
            self._all_back_at = now() + self._max_pause_seconds
        self._pauses, self._is_outage = 0, False

    async def _shut_down(self, turning: asyncio.Task[None]) -> None:
        """Finish what is active and the last turn, within the time allowed; release the rest."""
        log.info("stopping", queue=self._queue.kind, active=len(self._active))
        turning.add_done_callback(lambda _: self._changed.set())
        until = now() + self._shutdown_timeout_seconds
        while (self._active or not turning.done()) and not self._hurried.is_set():
            self._changed.clear()
            if (left := until - now()) <= 0:
                break
            await wait_for(self._changed, seconds=left, watchdog=self._watchdog)
        await asyncio.wait({turning}, timeout=ANSWER_SECONDS)
        turning.cancel()
        for item in await self._active.cancel():
            self._to_release.setdefault(item.id, (item, None))
        with self._noting_trouble():  # then their leases end by themselves
            async with answered_within(RELEASE_SECONDS):
                await self._release()

    async def _release(self) -> None:
        """Give back what trouble or a stop left undone; no attempt is spent on it."""
        while self._to_release:
            reason = next(reason for _, reason in self._to_release.values())
            items = [item for item, why in self._to_release.values() if why is reason]
            async with answered_within(self._lease_seconds / 2):
                released = await self._queue.release(items, reason)
            for item in items:
                self._to_release.pop(item.id, None)
                outcome = "pending" if item.id in released else "lost"
                self._log(log.info, "released", item, outcome=outcome)

    def _log(self, level: Callable[..., None], what: str, item: ItemT, **more: Any) -> None:
        level(f"{self._queue.kind}_{what}", **named(self._queue, item), **more)
