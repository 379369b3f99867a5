"""Makes the picture of each session that was completed, later those that are missing.

What was just read waits here as an envelope, which needs no download. Whatever goes wrong, no
session notices: the database knows which pictures are missing, and they are made later, from a
download.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import structlog

from worker.backend.held_objects import temporary_file
from worker.backend.object_store import ObjectStore
from worker.backend.previews import Previews, WantedPreview
from worker.backoff import backoff
from worker.drawing.child import Drawer
from worker.errors import HashMismatchError, UnavailableError, UnexpectedError, WorkerError
from worker.extraction.envelope import Envelope
from worker.observing import metrics
from worker.observing.logs import traceback_locations
from worker.settings import Settings

# Of envelopes: some 3,500 sessions of two channels. What is beyond is made later.
MAX_WAITING_BYTES = 64_000_000
PAUSE_SECONDS = 60.0  # between two looks at what is missing, or is to be removed
LEASE_SECONDS = 600.0  # that a missing picture is one worker's
LATER = 3  # missing pictures that are made at a look, so that a fresh one never waits for long
INITIAL_PAUSE, MAX_PAUSE = 1.0, 60.0  # seconds while Supabase is in trouble

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class Pictures:
    """Draws and stores pictures, one at a time."""

    def __init__(
        self,
        previews: Previews,
        store: ObjectStore,
        settings: Settings,
        *,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """`store` has the recordings; every `pause_seconds` it looks for what is missing."""
        self._previews = previews
        self._store = store
        self._settings = settings
        self._pause_seconds = pause_seconds
        self._waiting: deque[tuple[UUID, Envelope]] = deque()
        self._bytes = 0
        self._offered = asyncio.Event()
        self._drawer = Drawer(seconds=settings.extract_seconds, megabytes=settings.extract_mb)
        self._thread = ThreadPoolExecutor(1, "drawer")
        self._troubles = 0  # in a row
        metrics.show_waiting_previews(lambda: self._bytes)

    def offer(self, session: UUID, envelope: Envelope) -> None:
        """Take what was read of a session that is completed; without room for it, later."""
        if self._bytes + envelope.size > MAX_WAITING_BYTES:
            metrics.preview("no_room")
            return
        self._waiting.append((session, envelope))
        self._bytes += envelope.size
        self._offered.set()

    async def run(self) -> None:
        """Make pictures until cancelled; the child is there only while there is something to do."""
        next_look = 0.0
        try:
            while True:
                await self._make_waiting()
                if _now() >= next_look:
                    await self._unless_trouble(self._look())
                    next_look = _now() + self._pause_seconds
                try:
                    async with asyncio.timeout_at(next_look):
                        await self._offered.wait()
                except TimeoutError:
                    await self._in_thread(self._drawer.close)
        finally:
            self._drawer.end()  # whatever it draws: that is made later
            self._thread.shutdown()

    async def _make_waiting(self) -> None:
        while self._waiting:
            session, envelope = self._waiting[0]
            drawing = self._in_thread(self._drawer.draw, envelope, title(session))
            if await self._unless_trouble(self._make(session, drawing, "made")):
                self._waiting.popleft()
                self._bytes -= envelope.size
        self._offered.clear()

    async def _look(self) -> None:
        """Remove what is left of deleted sessions, and make some pictures that are missing."""
        settings = self._settings
        most = LATER if settings.draws else 0
        while True:
            lists = await self._previews.claim(
                settings.c3d_bucket, most=most, lease_seconds=LEASE_SECONDS
            )
            if lists.orphaned:
                await self._previews.remove(lists.orphaned)
                log.info("previews_removed", number=len(lists.orphaned))
            for wanted in lists.wanted:
                await self._make(wanted.session, self._from_download(wanted), "made_later")
            if self._waiting or not any(lists):
                return

    async def _make(self, session: UUID, drawing: Awaitable[bytes], outcome: str) -> None:
        """Draw and store; what is wrong with this picture alone is noted with it.

        Raises:
            UnavailableError: Supabase is in trouble.
        """
        try:
            await self._previews.keep(session, await drawing)
        except UnavailableError:
            raise
        except WorkerError as error:
            await self._note(session, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs one picture
            log.error("preview_crashed", session=str(session), error=traceback_locations(error))
            await self._note(session, UnexpectedError("The picture failed."))
        else:
            metrics.preview(outcome)
            log.debug("preview_made", session=str(session))

    async def _note(self, session: UUID, error: WorkerError) -> None:
        metrics.preview("failed")
        log.warning("preview_failed", session=str(session), code=error.code)
        await self._previews.note_failure(session, error.code)

    async def _from_download(self, wanted: WantedPreview) -> bytes:
        with temporary_file() as file:
            measured = await self._store.fetch(
                wanted.object_path,
                file,
                size=wanted.file_size_bytes,
                max_bytes=self._settings.max_file_bytes,
            )
            if measured != wanted.file_hash.lower():
                raise HashMismatchError("The object has another content than its session says.")
            path = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
            return await self._in_thread(self._drawer.draw_file, path, title(wanted.session))

    async def _in_thread(self, call: Callable[..., Result], *arguments: object) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, call, *arguments)

    async def _unless_trouble(self, doing: Awaitable[None]) -> bool:
        """Await it; after trouble pause, ever longer, and return False."""
        try:
            await doing
        except WorkerError as error:
            code = error.code
        except Exception as error:  # noqa: BLE001 - none may end the worker
            log.error("previews_crashed", error=traceback_locations(error))
            code = UnexpectedError.code
        else:
            self._troubles = 0
            return True
        self._troubles += 1
        pause = backoff(self._troubles, initial=INITIAL_PAUSE, maximum=MAX_PAUSE)
        log.warning("previews_paused", code=code, retry_in=round(pause, 1))
        await asyncio.sleep(pause)
        return False


def title(session: UUID) -> str:
    """Return what a picture says above it: an id, which names no person."""
    return f"Session {session}"


def _now() -> float:
    return asyncio.get_running_loop().time()
