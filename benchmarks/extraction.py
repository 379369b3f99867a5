"""Time and memory of the extraction, side by side with other readers, over real recordings.

    python benchmarks/extraction.py [FOLDER]

Every reader runs in a process of its own, which reads each file several times and tells medians:
ezc3d in full (an independent reader), the bare constructor of the package c3d, and this project.
Memory is the growth of that process's peak over all files, those it refuses included.
FOLDER holds the recordings (default: the corpus beside the repository, else made ones).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from worker.local.recordings import ghostly_recording

CORPUS = Path(__file__).parents[2] / "shared" / "c3d-corpus"
REPEATS = 15

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
import json, resource, statistics, sys, time, warnings
warnings.simplefilter("ignore")
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))  # ezc3d may ask for anything
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
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


def measured(reader: str, paths: list[Path], repeats: int = REPEATS) -> dict[str, Any]:
    """Seconds and KiB by file name; files that the reader refuses are absent."""
    command = [sys.executable, "-c", READERS[reader] + MEASURE, str(repeats), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {path: (seconds, memory) for path, seconds, memory in lines if seconds is not None}


def compare(title: str, paths: list[Path]) -> None:
    """Print the medians over files that all readers read, and the ratios."""
    results = {reader: measured(reader, paths) for reader in READERS}
    common = set.intersection(*(set(result) for result in results.values()))
    print(f"\n{title}: {len(paths)} files, {len(common)} read by all, {REPEATS} times each")
    print(f"  {'reader':18} {'reads':>5} {'median':>10} {'peak grows by':>14}")
    medians = {}
    for reader, result in results.items():
        medians[reader] = statistics.median(result[path][0] for path in common)
        memory = max(kib for _, kib in result.values()) / 1024
        print(f"  {reader:18} {len(result):5} {medians[reader] * 1e3:7.2f} ms {memory:10.1f} MiB")
    for reader, other in (
        ("metadata", "ezc3d, in full"),
        ("metadata", "c3d.Reader, bare"),
        ("statistics", "ezc3d, in full"),
    ):
        ratio = statistics.median(
            results[reader][path][0] / results[other][path][0] for path in common
        )
        faster = f"{1 / ratio:.1f} times faster" if ratio < 1 else f"{ratio:.1f} times the time"
        print(f"  {reader} takes {ratio:.3f} of {other} ({faster}), median of the files' ratios")


def growth(folder: Path) -> None:
    """Print how peak memory of the statistics follows the length of a recording."""
    print("\nstatistics of ever longer recordings")
    for minutes in (1, 5, 30):
        path = folder / f"{minutes}.c3d"
        path.write_bytes(ghostly_recording(minutes * 60.0))
        seconds, memory = measured("statistics", [path], repeats=3)[str(path)]
        size = path.stat().st_size / 2**20
        print(f"  {size:6.1f} MiB: {seconds * 1e3:7.1f} ms, peak grows by {memory / 1024:.1f} MiB")


def main() -> None:
    """Compare over the game's sessions, then over everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CORPUS
        if not folder.is_dir():
            folder = Path(name)
            for seed in range(4):
                (folder / f"Ghostly_{seed}.c3d").write_bytes(ghostly_recording(75.0, seed))
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".c3d")
        compare("sessions of the game", [path for path in files if "Ghostly" in path.name])
        compare("all recordings", files)
        growth(Path(name))


if __name__ == "__main__":
    main()
