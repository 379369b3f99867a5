"""Reads recordings in child processes with limits of time and memory.

The bounded validation makes c3d and numpy safe against every file that is known; this is the
second line, against those that are not. A file that exceeds a limit costs its own session only:
the child is replaced, and the others stay warm.

Nothing here imports numpy or c3d before a child does, so the process that waits stays small.
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
from dataclasses import dataclass
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from worker.errors import ReaderLostError, TooCostlyC3DError

MEGABYTE = 1_000_000
# Two, so that a file which runs into its time limit holds up nobody but a second such file. Not
# for speed: a backlog took 64 to 68 sessions a second with one child, 57 to 71 with two and 58 to
# 62 with three (two cores, requests included), and each takes 25 MB.
CHILDREN = 2
DEATHS = 2  # of a child, on the same recording, before the recording is blamed
TRIES = 4  # of the same recording, where other children's deaths interrupt it
WARM_SECONDS = 5  # what a child may take to start before it is ended all the same


@dataclass(frozen=True, slots=True)
class Extracted:
    """What is written for a recording, JSON-ready."""

    technical: Mapping[str, Any]  # the eight columns
    game: Mapping[str, Any]
    statistics: Mapping[str, Any]  # empty where no samples were read


def extract(path: Path, *, samples: bool) -> Extracted:
    """Read everything that is written for the recording at `path`.

    Without `samples` there are no statistics, and nothing behind the metadata is read.

    Raises:
        C3DError: the recording is refused.
        OSError: the file cannot be read.
    """
    from worker.extraction.analytics import analytics  # noqa: PLC0415 - see the module
    from worker.extraction.metadata import read_metadata  # noqa: PLC0415
    from worker.extraction.section import PREFIX_BYTES  # noqa: PLC0415
    from worker.extraction.statistics import channel_statistics  # noqa: PLC0415

    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        metadata = read_metadata(file.read(PREFIX_BYTES), size)
    return Extracted(
        technical=metadata.row(),
        game=metadata.game,
        statistics=analytics(channel_statistics(path)) if samples else {},
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
        """Start the children; each may take `seconds` and `megabytes` to `read` a recording."""
        self._seconds = seconds
        self._megabytes = megabytes
        self._children = children
        self._read = read
        # Who waits here does not wait in the pool, so that the clock starts with the reading.
        self._free = threading.Semaphore(children)
        self._renewing = threading.Lock()
        self._closed = threading.Event()
        self._pool = self._started()

    def run(self, path: Path, name: str, *, samples: bool = True) -> Extracted:
        """Read the recording at `path`, called `name`, as soon as a child is free; blocks.

        Without `samples` there are no statistics, and nothing behind the metadata is read.

        Raises:
            C3DError: the recording is refused; `TooCostlyC3DError` where it exceeds a limit.
            ReaderLostError: no child can be had.
            OSError: the file cannot be read.
        """
        deaths = 0
        with self._free:
            for _ in range(TRIES):
                if self._closed.is_set():
                    break
                future = self._submitted(path, samples=samples)
                try:
                    return future.result(timeout=self._seconds)
                except TimeoutError:
                    future.cancel()  # ends the child
                    raise TooCostlyC3DError(
                        f"Reading {name} took longer than {self._seconds:g} s."
                    ) from None
                except MemoryError:
                    raise TooCostlyC3DError(
                        f"Reading {name} took more than {self._megabytes:,} MB of memory."
                    ) from None
                except ProcessExpired:
                    deaths += 1  # once may be somebody else's doing: the machine ran out of memory
                    if deaths == DEATHS:
                        raise TooCostlyC3DError(
                            f"Reading {name} ended the process that read it, twice."
                        ) from None
                except (BrokenProcessPool, CancelledError):
                    continue  # of another child's death, or of `close`
        raise ReaderLostError("The processes that read recordings were ended again and again.")

    def close(self) -> None:
        """End the children, whatever they do."""
        self._closed.set()
        for _ in range(self._children):
            # One that is ended while it starts would complain on stderr.
            self._warm.acquire(timeout=WARM_SECONDS)
        _end(self._pool)

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
            if self._pool is broken:
                _end(broken)
                self._pool = self._started()

    def _started(self) -> ProcessPool:
        # One recording a child: threads below it would only cost memory.
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
        pool.schedule(int)  # the first task starts the children; no recording has to wait
        return pool


def _end(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call] # pebble forgot one
    pool.join()


def _prepare(max_bytes: int, warm: Semaphore) -> None:
    """Make a child warm, say so, and let it take so much memory more and no more."""
    import worker.extraction.statistics  # noqa: F401, PLC0415 - see the module

    # Signals to the parent's group are the parent's: it says when a child ends, and then at once.
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    limit = _data_bytes() + max_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    warm.release()


def _data_bytes() -> int:
    """What RLIMIT_DATA counts (VmData of proc(5)), in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kibibytes = next(line for line in status.splitlines() if line.startswith("VmData:"))
    return int(kibibytes.split()[1]) * 1024
