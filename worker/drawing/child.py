"""Draws in a child process of its own, which is there only while there is something to draw.

Neither a session nor the reading of one waits for a picture: the child yields to all of them. A
recording whose picture hangs or swells costs only that picture.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from worker.errors import ReaderLostError
from worker.extraction.envelope import Envelope
from worker.extraction.errors import TooCostlyC3DError
from worker.extraction.isolation import MEGABYTE, become_child

NICENESS = 19  # of the child: a picture comes after everything else


class Drawer:
    """One child at most; calls block, and one thread makes them."""

    def __init__(self, *, seconds: float, megabytes: int) -> None:
        """Limit the time that a picture may take, and the memory beyond that after the start."""
        self._seconds = seconds
        self._megabytes = megabytes
        self._pool: ProcessPool | None = None
        self._drawing: Future[bytes] | None = None
        self._ended = False

    def draw(self, envelope: Envelope, title: str) -> bytes:
        """Draw a recording from its envelope, as a PNG.

        Raises:
            TooCostlyC3DError: a limit was exceeded.
            ReaderLostError: no child can be started.
        """
        return self._ask(draw_png, envelope, title)

    def draw_file(self, path: Path, title: str) -> bytes:
        """Draw the recording at `path`, as a PNG; the child opens it by this path.

        Raises:
            C3DError: the recording is refused.
            TooCostlyC3DError, ReaderLostError: as `draw`.
            OSError: the file cannot be read.
        """
        return self._ask(draw_file_png, path, title)

    def close(self) -> None:
        """End the child; the next picture starts another."""
        pool, self._pool = self._pool, None
        if pool:
            pool.stop()  # type: ignore[no-untyped-call] # pebble left this one untyped
            pool.join()

    def end(self) -> None:
        """End the child whatever it draws, for good; any thread may call it."""
        self._ended = True
        if self._drawing:
            self._drawing.cancel()
        self.close()

    def _ask(self, draw: Callable[..., bytes], what: Envelope | Path, title: str) -> bytes:
        try:
            future: Future[bytes] = self._started().schedule(draw, args=[what, title])
        except RuntimeError:  # a pool whose child died again and again, or that was closed
            self.close()
            raise ReaderLostError("No process can be started to draw.") from None
        self._drawing = future
        try:
            return future.result(timeout=self._seconds)
        except TimeoutError:
            future.cancel()  # this ends the child
            raise TooCostlyC3DError(f"Its picture took longer than {self._seconds:g} s.") from None
        except MemoryError:
            raise TooCostlyC3DError(
                f"Its picture took more than {self._megabytes:,} MB of memory."
            ) from None
        except CancelledError:
            raise ReaderLostError("The process that draws was ended.") from None
        except ProcessExpired:
            raise TooCostlyC3DError("Its picture ended the process that drew it.") from None

    def _started(self) -> ProcessPool:
        if self._ended:
            raise ReaderLostError("The worker ends, and draws no more.")
        if self._pool is None:
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            self._pool = ProcessPool(
                max_workers=1,
                context=multiprocessing.get_context("spawn"),
                initializer=_prepare,
                initargs=(self._megabytes * MEGABYTE,),
            )
        return self._pool


def draw_png(envelope: Envelope | None, title: str) -> bytes:
    """Draw; only the child imports what that needs."""
    from worker.drawing.picture import draw  # noqa: PLC0415
    from worker.drawing.raster import Raster  # noqa: PLC0415

    return draw(envelope, title, Raster)


def draw_file_png(path: Path, title: str) -> bytes:
    """Read and draw."""
    from worker.extraction.statistics import read_signals  # noqa: PLC0415

    return draw_png(read_signals(path, envelope=True).envelope, title)


def _prepare(max_bytes: int) -> None:
    import worker.drawing.raster  # noqa: F401, PLC0415 - so that it counts as the start

    become_child(NICENESS, max_bytes)
