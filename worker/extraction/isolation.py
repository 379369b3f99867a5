"""Reads recordings in child processes with limits on time and memory.

The checks in `section` protect c3d and numpy against every known kind of hostile file; this module
is the second line of defence, against unknown ones. A file that exceeds a limit affects only its
own session: a new child replaces the one that read it, and the others stay warm.

Only the children import numpy and c3d, so the parent process stays small.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.synchronize import Semaphore
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from worker.errors import ReaderLostError
from worker.extraction.envelope import Envelope
from worker.extraction.errors import TooCostlyC3DError

NICENESS = 10  # of a child: reading comes after hearing of an upload and taking it in
MEGABYTE = 1_000_000  # bytes
# Two, so that a file which runs into its time limit delays only a second such file. Not for speed:
# a backlog ran at 64 to 68 sessions per second with one child, 57 to 71 with two and 58 to 62 with
# three (two cores, requests included), and each child takes 40 MB (RSS, of which 25 are its own).
CHILDREN = 2
MAX_DEATHS = 2  # of children that read the same recording; then it is refused
MAX_READ_ATTEMPTS = 4  # to read the same recording, where the deaths of other children interrupt it
WARM_SECONDS = 5  # that each child which is still starting may delay `close`
TRACKER_PRIORITY = -100  # of ending it; multiprocessing's own are 0 and more


@dataclass(frozen=True, slots=True)
class Extracted:
    """What the worker stores for a recording, JSON-ready."""

    technical: Mapping[str, Any]  # the eight columns of `c3d_technical_data`
    game: Mapping[str, Any]  # see `game_metadata`
    statistics: Mapping[str, Any]  # see `analytics`; empty where no samples were read
    envelope: Envelope | None = None  # what a picture needs, where one was asked for


def extract(path: Path, *, samples: bool, envelope: bool = False) -> Extracted:
    """Read the recording at `path`.

    Without `samples` there are no statistics, and only the first PREFIX_BYTES are read. With
    `envelope`, what a picture needs is returned as well, where there are samples.

    Raises:
        C3DError: the recording is refused.
        OSError: the file cannot be read.
    """
    from worker.extraction.analytics import analytics  # noqa: PLC0415 - see the module
    from worker.extraction.metadata import describe, open_stream  # noqa: PLC0415
    from worker.extraction.statistics import measure  # noqa: PLC0415

    with path.open("rb") as stream:
        metadata, layout = open_stream(stream)
        described = describe(metadata, layout)
        signals = measure(stream, metadata, layout, envelope=envelope) if samples else None
    return Extracted(
        technical=described.row(),
        game=described.game,
        statistics=analytics(signals.statistics) if signals else {},
        envelope=signals.envelope if signals else None,
    )


class Isolation:
    """A pool of warm children; threads may share it."""

    def __init__(
        self,
        *,
        seconds: float,
        megabytes: int,
        children: int = CHILDREN,
        read: Callable[..., Extracted] = extract,
    ) -> None:
        """Start the children.

        Args:
            seconds: the time that reading one recording may take.
            megabytes: the memory that a child may take beyond what it has after its start.
            children: how many recordings are read at once.
            read: what a child calls, with the arguments and errors of `extract`.
        """
        self._seconds = seconds
        self._megabytes = megabytes
        self._children = children
        self._read = read
        # Callers wait here and not in the pool, so that the time limit starts with the reading.
        self._free = threading.Semaphore(children)
        self._renewing = threading.Lock()
        self._closed = threading.Event()
        self._reading: set[Future[Extracted]] = set()
        self._pool = self._new_pool()
        # At the end of the program, after what still tells the tracker of a semaphore.
        Finalize(None, _end_tracker, exitpriority=TRACKER_PRIORITY)

    def run(self, path: Path, name: str, *, samples: bool = True) -> Extracted:
        """Read the recording at `path` as soon as a child is free; blocks until then.

        Args:
            path: the file; the child opens it by this path.
            name: what errors call the recording.
            samples: without them there are no statistics, as in `extract`.

        Raises:
            C3DError: the recording is refused; `TooCostlyC3DError` where it exceeds a limit.
            ReaderLostError: no child can be started, or the children keep dying.
            OSError: the file cannot be read.
        """
        deaths = 0
        with self._free:
            for _ in range(MAX_READ_ATTEMPTS):
                if self._closed.is_set():
                    break
                future = self._submitted(path, samples=samples)
                self._reading.add(future)
                if self._closed.is_set():  # meanwhile, and it may have missed this one
                    future.cancel()
                try:
                    return future.result(timeout=self._seconds)
                except TimeoutError:
                    future.cancel()  # this ends the child
                    raise TooCostlyC3DError(
                        f"Reading {name} took longer than {self._seconds:g} s."
                    ) from None
                except MemoryError:
                    raise TooCostlyC3DError(
                        f"Reading {name} took more than {self._megabytes:,} MB of memory."
                    ) from None
                except ProcessExpired:
                    deaths += 1  # one may have another cause: the machine ran out of memory
                    if deaths == MAX_DEATHS:
                        raise TooCostlyC3DError(
                            f"Reading {name} ended the process that read it, twice."
                        ) from None
                except (BrokenProcessPool, CancelledError):
                    continue  # because another child died, or because of `close`
                finally:
                    self._reading.discard(future)
        raise ReaderLostError("The processes that read recordings were ended again and again.")

    def close(self) -> None:
        """End the children, whatever they are doing."""
        self._closed.set()
        for _ in range(self._children):
            # A child that is ended while it starts prints a traceback.
            self._warm.acquire(timeout=WARM_SECONDS)
        _end(self._pool)
        for future in [*self._reading]:  # else its caller waits for the time limit
            future.cancel()

    def _submitted(self, path: Path, *, samples: bool) -> Future[Extracted]:
        """Give the task to the pool, or to a new one: a pool whose children all died is broken."""
        for _ in range(2):
            pool = self._pool
            try:
                future: Future[Extracted] = pool.schedule(
                    self._read, args=[path], kwargs={"samples": samples}
                )
            except RuntimeError:
                self._renew(pool)
            else:
                return future
        raise ReaderLostError("No process can be started to read recordings.")

    def _renew(self, broken: ProcessPool) -> None:
        with self._renewing:
            if self._pool is broken and not self._closed.is_set():
                _end(broken)
                self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPool:
        # A child reads one recording at a time: numpy's threads would only cost memory.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        # Forking a process that runs threads is unsafe, and it would copy the parent.
        context = multiprocessing.get_context("spawn")
        self._warm = context.Semaphore(0)
        pool = ProcessPool(
            max_workers=self._children,
            context=context,
            initializer=_prepare,
            initargs=(self._megabytes * MEGABYTE, self._warm),
        )
        pool.schedule(int)  # the first task starts the children, before a recording needs one
        return pool


def _end(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call] # pebble left this one untyped
    pool.join()


def _end_tracker() -> None:
    """End the process that cleans up behind multiprocessing, and wait for it.

    By itself it ends just after this one, so that systemd finds it left over and kills it.
    """
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined] # noqa: SLF001 - there is no public way


def _prepare(max_bytes: int, warm: Semaphore) -> None:
    """Warm a child up, limit its further memory to `max_bytes`, and report that it is warm."""
    import worker.extraction.statistics  # noqa: F401, PLC0415 - see the module

    become_child(NICENESS, max_bytes)
    warm.release()


def become_child(niceness: int, max_bytes: int) -> None:
    """Make this process end with its parent's word alone, yield to others, and limit its memory.

    `max_bytes` is what it may take beyond what it has now.
    """
    # Signals to the parent's process group must not reach a child: the parent decides when the
    # child ends, and then it has to end at once.
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with suppress(PermissionError):  # a sandbox may forbid it, and no reading depends on it
        os.nice(niceness)
    limit = _data_bytes() + max_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _data_bytes() -> int:
    """Return what RLIMIT_DATA counts (VmData of proc(5)), in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kibibytes = next(line for line in status.splitlines() if line.startswith("VmData:"))
    return int(kibibytes.split()[1]) * 1024
