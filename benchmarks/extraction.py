"""Time and memory of the extraction, side by side with other readers, over real recordings.

Every reader runs in a process of its own, which reads each file several times and tells medians:
ezc3d in full (an independent reader), the bare constructor of the package c3d, and this project.
Memory is the growth of that process's peak over all files, those it refuses included. The
recordings are the corpus beside the repository, else made ones.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import CORPUS
from benchmarks.measurement import Measurement, Series
from benchmarks.run import Run
from worker.local.recordings import ghostly_recording

PAIRS = (
    ("metadata", "ezc3d, in full"),
    ("metadata", "c3d.Reader, bare"),
    ("statistics", "ezc3d, in full"),
)

READERS = {
    "ezc3d, in full": "import ezc3d\ndef read(path): ezc3d.c3d(path)",
    "c3d.Reader, bare": """
import c3d
def read(path):
    with open(path, "rb") as stream:
        c3d.Reader(stream)
""",
    "metadata": """
import os
from worker.extraction.metadata import read_metadata
from worker.extraction.section import PREFIX_BYTES
def read(path):
    with open(path, "rb") as stream:
        read_metadata(stream.read(PREFIX_BYTES), os.stat(path).st_size)
""",
    "statistics": """
from pathlib import Path
from worker.extraction.statistics import channel_statistics
def read(path): channel_statistics(Path(path))
""",
}

# Prints, for each file, its median time and by how much the process's peak memory has grown.
MEASURE = """
import json, pathlib, resource, statistics, sys, time, warnings
warnings.simplefilter("ignore")
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))  # ezc3d may ask for anything
def peak():  # in KiB; ru_maxrss would begin with what the parent had
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
before = peak()
for path in sys.argv[2:]:
    times = []
    try:
        for _ in range(int(sys.argv[1])):
            started = time.perf_counter()
            read(path)
            times.append(time.perf_counter() - started)
    except Exception as error:
        print(json.dumps([path, None, type(error).__name__]), flush=True)
    else:
        print(json.dumps([path, statistics.median(times), peak() - before]), flush=True)
"""


def measured(reader: str, paths: Sequence[Path], repeats: int) -> dict[str, Any]:
    """Seconds and KiB by file name; files that the reader refuses are absent."""
    command = [sys.executable, "-c", READERS[reader] + MEASURE, str(repeats), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {path: (seconds, memory) for path, seconds, memory in lines if seconds is not None}


async def measure(run: Run) -> None:
    """Compare over the game's sessions, then over everything, then over longer ones."""
    folder = CORPUS
    if not folder.is_dir():
        folder = run.folder / "recordings"
        folder.mkdir()
        for seed in range(4):
            (folder / f"Ghostly_{seed}.c3d").write_bytes(ghostly_recording(75.0, seed))
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".c3d")
    game = [path for path in files if "Ghostly" in path.name]
    await asyncio.to_thread(compare, run, "sessions of the game", game)
    await asyncio.to_thread(compare, run, "all recordings", files)
    await asyncio.to_thread(grow, run)


def compare(run: Run, title: str, paths: Sequence[Path]) -> None:
    """Compare medians over the files that all readers read; memory over all files."""
    results = {reader: measured(reader, paths, run.sizes.reads) for reader in READERS}
    common = set.intersection(*(set(result) for result in results.values()))
    note = f"{len(common)} of {len(paths)} files are read by all"
    for reader, other in PAIRS:
        ours, theirs = (
            [results[name][path][0] * 1e3 for path in sorted(common)] for name in (reader, other)
        )
        run.add(
            Measurement(
                f"{reader}: {title}",
                statistics.median(ours),
                statistics.median(theirs),
                "ms",
                other,
                ours_range=(min(ours), max(ours)),
                other_range=(min(theirs), max(theirs)),
                note=note,
            )
        )
    peaks = {name: max(kib for _, kib in result.values()) for name, result in results.items()}
    run.add(
        Measurement(
            f"statistics, memory grows by: {title}",
            peaks["statistics"] / 1024,
            peaks["ezc3d, in full"] / 1024,
            "MiB",
            "ezc3d, in full",
        )
    )


def grow(run: Run) -> None:
    """Keep how peak memory of the statistics follows the length of a recording."""
    peaks: dict[str, list[float]] = {"statistics": [], "ezc3d, in full": []}
    for minutes in run.sizes.minutes:
        path = run.folder / f"{minutes}.c3d"
        path.write_bytes(ghostly_recording(minutes * 60.0))
        for reader, found in peaks.items():
            found.append(measured(reader, [path], repeats=1)[str(path)][1] / 1024)
        path.unlink()
    run.series["extraction-memory"] = Series(
        title="Reading in full: memory grows by, MiB",
        x_is="minutes of recording",
        y_is="MiB",
        x=run.sizes.minutes,
        lines=peaks,
    )
