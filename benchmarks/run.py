"""One run of the benchmarks: what it shares, and what it has found so far."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness import Harness, open_harness
from benchmarks.measurement import Measurement, Series
from benchmarks.report import CIRCUMSTANCES, RESULTS
from benchmarks.sizes import Sizes

YARDSTICK = bytes(20_000_000)


@dataclass(slots=True)
class Run:
    """Collects rows and plots, and keeps them as they come."""

    sizes: Sizes
    quick: bool
    folder: Path  # for whatever a benchmark writes on its way
    results: Path
    context: AsyncExitStack
    rows: list[Measurement] = field(default_factory=list)
    series: dict[str, Series] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    yardstick: list[float] = field(default_factory=list)  # ms
    load: list[float] = field(default_factory=list)
    _harness: Harness | None = None

    async def harness(self) -> Harness:
        """Return the stack that most benchmarks share, started by the first of them."""
        if self._harness is None:
            self._harness = await self.context.enter_async_context(
                open_harness(self.subfolder("shared"))
            )
        return self._harness

    def subfolder(self, name: str) -> Path:
        """Return a folder of that name for a benchmark's files."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def add(self, *rows: Measurement) -> None:
        """Keep rows of the table."""
        self.rows += rows

    def skip(self, why: str) -> None:
        """Say what was not measured."""
        self.skipped.append(why)

    def look_at_the_machine(self) -> None:
        """Time the same work again and again over the run: how much it scatters is the noise."""
        for _ in range(5):
            started = time.perf_counter()
            sha256(YARDSTICK).digest()
            self.yardstick.append((time.perf_counter() - started) * 1e3)
        self.load.append(os.getloadavg()[0])

    def save(self) -> None:
        """Write what is known so far."""
        self.results.mkdir(parents=True, exist_ok=True)
        _write(self.results / RESULTS, [row.row() for row in self.rows])
        _write(
            self.results / CIRCUMSTANCES,
            {
                "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
                "quick": self.quick,
                "machine": machine(),
                "noise": {
                    "yardstick": "SHA-256 of 20 MB, ms",
                    "median": round(statistics.median(self.yardstick), 2),
                    "least": round(min(self.yardstick), 2),
                    "most": round(max(self.yardstick), 2),
                    "load": [round(load, 2) for load in self.load],
                },
                "skipped": self.skipped,
                "series": {name: series.row() for name, series in self.series.items()},
            },
        )


def machine() -> dict[str, Any]:
    """Describe where this runs."""
    processor = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _write(path: Path, content: Any) -> None:
    path.write_text(
        json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
