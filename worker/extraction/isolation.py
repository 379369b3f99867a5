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
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from worker.errors import TooCostlyC3DError

MEGABYTE = 1_000_000
# Two, so that a file which runs into its time limit holds up nobody. Not for speed: a backlog
# took 64 to 68 sessions a second with one child, 57 to 71 with two and 58 to 62 with three (two
# cores, requests included), and each takes 25 MB.
CHILDREN = 2


@dataclass(frozen=True, slots=True)
class Extracted:
    """What is written for a recording, JSON-ready."""

    technical: Mapping[str, Any]  # the eight columns
    game: Mapping[str, Any]
    statistics: Mapping[str, Any]


def extract(path: Path) -> Extracted:
    """Read everything that is written for the recording at `path`.

    Raises:
        C3DError: the recording is refused.
        OSError: the file cannot be read.
    """
    from worker.extraction.analytics import analytics  # noqa: PLC0415 - see the module
    from worker.extraction.metadata import PREFIX_BYTES, read_metadata  # noqa: PLC0415
    from worker.extraction.statistics import channel_statistics  # noqa: PLC0415

    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        metadata = read_metadata(file.read(PREFIX_BYTES), size)
    return Extracted(
        technical=metadata.row(),
        game=metadata.game,
        statistics=analytics(channel_statistics(path)),
    )


class Isolation:
    """A pool of warm children."""

    def __init__(
        self,
        *,
        seconds: float,
        megabytes: int,
        children: int = CHILDREN,
        read: Callable[[Path], Extracted] = extract,
    ) -> None:
        """Start the children; each may take `seconds` and `megabytes` to `read` a recording."""
        self._read = read
        self._seconds = seconds
        self._megabytes = megabytes
        # One recording a child: threads below it would only cost memory.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        self._pool = ProcessPool(
            max_workers=children,
            # Forking a process that runs threads is unsafe, and it would copy the parent.
            context=multiprocessing.get_context("spawn"),
            initializer=_prepare,
            initargs=(megabytes * MEGABYTE,),
        )
        self._pool.schedule(int)  # the first task starts the children; no recording has to wait

    def submit(self, path: Path) -> Future[Extracted]:
        """Read the recording at `path`, as soon as a child is free.

        The future raises what `explain` understands.
        """
        future: Future[Extracted] = self._pool.schedule(
            self._read, args=[path], timeout=self._seconds
        )
        return future

    def explain(self, error: BaseException, name: str) -> BaseException:
        """Turn the pool's own errors into what is to be said of the file called `name`."""
        match error:
            case TimeoutError():
                reason = f"took longer than {self._seconds:g} s"
            case MemoryError():
                reason = f"took more than {self._megabytes:,} MB of memory"
            case ProcessExpired():
                reason = "ended the process that read it"
            case _:
                return error
        return TooCostlyC3DError(f"Reading {name} {reason}.")

    def close(self) -> None:
        """End the children, whatever they do."""
        self._pool.stop()  # type: ignore[no-untyped-call] # pebble forgot one
        self._pool.join()


def _prepare(most_bytes: int) -> None:
    """Make a child warm, and let it take so much memory more and no more."""
    import worker.extraction.statistics  # noqa: F401, PLC0415 - see the module

    # Ctrl-C reaches the whole terminal; the parent decides when a child ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit = _data_bytes() + most_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _data_bytes() -> int:
    """What RLIMIT_DATA counts (VmData of proc(5)), in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kibibytes = next(line for line in status.splitlines() if line.startswith("VmData:"))
    return int(kibibytes.split()[1]) * 1024
