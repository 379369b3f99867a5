"""When the bucket is read, on a clock that jumps: nobody waits for it."""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.queue_looks import look
from worker.backend.upload_queue import UploadQueue
from worker.errors import UnavailableError
from worker.intake.reconciliation import ANNOUNCED_SECONDS, MAX_PAUSE, REST_SECONDS, Reconciliation

MINUTE, HOUR = 60.0, ANNOUNCED_SECONDS


class JumpingSelector(selectors.SelectSelector):
    """Waits for nothing: its time jumps to whatever comes next."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop on such a time."""

    def __init__(self) -> None:
        self.clock = JumpingSelector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was asked for."""

    at: float  # seconds
    after: str
    missed: int | None


@dataclass
class Bucket(UploadQueue):
    """A bucket of one page, unless `answers` say otherwise."""

    answers: list[tuple[int, str | None] | Exception] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)

    async def announce_page(self, after: str, missed: int | None = None) -> tuple[int, str | None]:
        self.pages.append(Page(asyncio.get_running_loop().time(), after, missed))
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if self.answers else (0, None)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def times(self) -> list[int]:
        """When it was asked."""
        return [round(page.at) for page in self.pages]


Story = Callable[[Reconciliation], Coroutine[Any, Any, None]]


def told(bucket: Bucket, story: Story, *, every_seconds: float = MINUTE) -> list[None]:
    """Run a reconciliation until the story ends; return how often it woke the intake."""
    woken: list[None] = []

    async def beside() -> None:
        reconciliation = Reconciliation(
            bucket, lambda: woken.append(None), every_seconds=every_seconds
        )
        running = asyncio.create_task(reconciliation.run())
        await story(reconciliation)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(beside())
    return woken


def waiting(seconds: float) -> Story:
    """A story in which nothing happens."""

    async def story(_: Reconciliation) -> None:
        await asyncio.sleep(seconds)

    return story


def test_without_a_trigger_the_bucket_is_read_every_minute() -> None:
    bucket = Bucket()
    told(bucket, waiting(3.5 * MINUTE))
    assert bucket.times == [0, 60, 120, 180]


def test_a_trigger_that_was_there_at_the_start_costs_no_second_pass() -> None:
    bucket = Bucket()

    async def story(reconciliation: Reconciliation) -> None:
        await asyncio.sleep(1)
        reconciliation.note(look(announcing=True, missed=None))
        await asyncio.sleep(1.5 * HOUR)

    told(bucket, story)
    assert bucket.times == [0, 3600]


def test_a_state_of_the_trigger_that_changes_has_the_bucket_read_at_once() -> None:
    bucket = Bucket()

    async def story(reconciliation: Reconciliation) -> None:
        reconciliation.note(look(announcing=False, missed=None))
        await asyncio.sleep(10)
        reconciliation.note(look(announcing=True, missed=None))  # and now hourly
        await asyncio.sleep(2.5 * HOUR)
        reconciliation.note(look(announcing=True, missed=None))
        await asyncio.sleep(10)
        reconciliation.note(look(announcing=False, missed=None))
        await asyncio.sleep(1.5 * MINUTE)

    told(bucket, story)
    assert bucket.times == [0, 10, 3610, 7210, 9020, 9080]


def test_a_missed_upload_has_the_bucket_read_at_once_and_once() -> None:
    bucket = Bucket()

    async def story(reconciliation: Reconciliation) -> None:
        reconciliation.note(look(announcing=True, missed=None))
        await asyncio.sleep(10)
        for missed in (5, 5, 7):
            reconciliation.note(look(announcing=True, missed=missed))
            await asyncio.sleep(10)
        reconciliation.note(look(announcing=True, missed=None))  # they were removed
        await asyncio.sleep(HOUR / 2)

    told(bucket, story)
    assert [(page.at, page.missed) for page in bucket.pages] == [(0, None), (10, 5), (30, 7)]


def test_an_upload_missed_while_the_bucket_is_read_has_it_read_again() -> None:
    bucket = Bucket([(1, "m"), (1, None)])

    async def story(reconciliation: Reconciliation) -> None:
        await asyncio.sleep(0)  # the first page is being read
        reconciliation.note(look(announcing=False, missed=5))
        await asyncio.sleep(MINUTE / 2)

    assert len(told(bucket, story)) == 2
    assert bucket.pages == [Page(0, "", None), Page(0, "m", None), Page(REST_SECONDS, "", 5)]


def test_a_bell_that_stays_wants_a_pass_a_minute_later() -> None:
    bucket = Bucket()

    async def story(reconciliation: Reconciliation) -> None:
        for _ in range(12):
            reconciliation.note(look(announcing=True, missed=5))
            await asyncio.sleep(MINUTE / 4)

    told(bucket, story)
    assert [round(page.at) for page in bucket.pages] == [0, 75, 150]


def test_a_pass_that_fails_goes_on_behind_its_last_page() -> None:
    bucket = Bucket([(1, "m"), UnavailableError("No."), ValueError("What?"), (1, "t"), (0, None)])
    assert len(told(bucket, waiting(MINUTE / 2))) == 2
    assert [page.after for page in bucket.pages] == ["", "m", "m", "m", "t"]


def test_the_bell_of_an_upload_that_was_missed_behind_a_failed_pass_stays() -> None:
    """Its name may lie before the page where the pass goes on."""
    bucket = Bucket([(0, "m"), UnavailableError("No.")])

    async def story(reconciliation: Reconciliation) -> None:
        await asyncio.sleep(0.1)
        reconciliation.note(look(announcing=False, missed=5))
        await asyncio.sleep(MINUTE / 2)

    told(bucket, story)
    assert [(page.after, page.missed) for page in bucket.pages] == [
        ("", None),
        ("m", None),
        ("m", None),
        ("", 5),
    ]


@pytest.mark.parametrize("trouble", [UnavailableError("No."), ValueError("What?")])
def test_trouble_is_told_until_a_pass_succeeds(trouble: Exception) -> None:
    bucket = Bucket([trouble] * 9)
    seen: list[bool] = []

    async def story(reconciliation: Reconciliation) -> None:
        for _ in range(2):
            await asyncio.sleep(0.1)
            seen.append(reconciliation.trouble is not None)
            await asyncio.sleep(9 * MAX_PAUSE)

    told(bucket, story, every_seconds=HOUR)
    assert seen == [True, False]
    assert len(bucket.pages) == 10
    pauses = [after.at - before.at for before, after in itertools.pairwise(bucket.pages)]
    assert max(pauses) <= MAX_PAUSE


def test_with_no_seconds_the_bucket_is_never_read() -> None:
    bucket = Bucket()

    async def story(reconciliation: Reconciliation) -> None:
        reconciliation.note(look(announcing=True, missed=5))
        await asyncio.sleep(2 * HOUR)

    told(bucket, story, every_seconds=0)
    assert bucket.pages == []
