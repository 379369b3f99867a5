"""How much is measured: in full, or tiny for whoever works on the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Everything that makes a run long."""

    rounds: int  # of every pair that is measured in turn
    backlog: int  # sessions a round
    straightforward: int  # sessions a round of the worker that takes one after another
    singles: int  # sessions a round that arrive alone
    session_seconds: float  # length of a made recording of the game
    files: tuple[int, ...]  # million bytes of the recordings that grow
    completed: tuple[int, ...]  # finished sessions beside which a claim is timed
    claims: int  # of each kind
    claimed_before: int  # sessions, before a claim beside an open transaction
    beside: tuple[int, ...]  # sessions beside which uploads are taken in, and read
    late_backlog: int  # sessions a round while Storage is slow, for each worker
    workers: tuple[int, ...]
    idle_seconds: float
    upload: int  # bytes of the object that is taken in
    uploads: int  # objects that a backfill takes in
    upload_backlog: int  # uploads that are taken in while one more arrives
    rush: int  # uploads at once, of which the bytes are counted
    reads: int  # of each file, by every reader
    minutes: tuple[int, ...]  # of the recordings whose reading takes ever more memory


FULL = Sizes(
    rounds=3,
    backlog=400,
    straightforward=60,
    singles=25,
    session_seconds=65.0,
    files=(1, 10, 100, 1000),
    completed=(100, 10_000, 1_000_000),
    claims=60,
    claimed_before=40_000,
    beside=(1_000, 100_000, 1_000_000),
    late_backlog=400,
    workers=(1, 2, 4),
    idle_seconds=180.0,
    upload=500_000_000,
    uploads=500,
    upload_backlog=1000,
    rush=1000,
    reads=15,
    minutes=(1, 5, 30),
)
QUICK = Sizes(
    rounds=1,
    backlog=80,
    straightforward=10,
    singles=5,
    session_seconds=65.0,
    files=(1, 20),
    completed=(100, 10_000),
    claims=10,
    claimed_before=4_000,
    beside=(1_000, 10_000),
    late_backlog=60,
    workers=(1, 2),
    idle_seconds=4.0,
    upload=30_000_000,
    uploads=40,
    upload_backlog=200,
    rush=60,
    reads=2,
    minutes=(1, 3),
)
